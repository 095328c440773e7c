// The hooks of upgrade.wasm.

import { log } from 'gatling:hooks/log@1.2.0';
import { run } from 'gatling:hooks/process@1.2.0';
import { readText } from './files.js';

// Tells whoever pushed what is about to be replaced by what.
export function beforeMixCompile(env) {
  const previous = env.previousVersion ?? 'nothing';
  log('info', `${env.project} ${previous} -> ${env.version} (${env.branch} ${env.commit.slice(0, 7)})`);
  log('info', `served at ${env.domains.join(', ')}`);
}

// Builds the assets, which the step then digests. Without the grant to do so, those of the
// repository have to do.
export function beforeMixDigest(env) {
  const variables = [['VERSION', env.version], ['COMMIT', env.commit]];
  let output;
  try {
    output = run('sh', ['script/build_assets.sh'], { cd: null, env: variables });
  } catch (error) {
    const { tag, val: why } = error.payload;
    if (tag === 'denied') {
      log('warn', `the assets are not built: ${why}`);
      return;
    }
    throw new Error(`building the assets: ${why}`);
  }
  if (output.status !== 0) {
    throw new Error(`building the assets: sh ended with status ${output.status}`);
  }
  log('info', `assets: ${output.output.trimEnd().split('\n').at(-1)}`);
}

// Says what is new, in the words of the first line of the project's file CHANGES.
export function afterMixRelease(env) {
  const changes = readText(`${env.buildDir}/CHANGES`);
  log('info', changes === null ? 'there is no file CHANGES' : `changes: ${changes.split('\n')[0]}`);
}

// Fails on demand. The version that is serving goes on serving.
export function beforeUpgradeService(env) {
  if (readText(`${env.buildDir}/FAIL`) !== null) {
    throw new Error('told to fail');
  }
}

// Tells the team what failed, and what visitors get now.
export function onFailure(env, failure) {
  const place = failure.hook ?? failure.step ?? 'the checks';
  log('info', `told #ops: ${env.project} ${env.version} failed at ${place}`);
  const moved = failure.trafficMoved ? 'it had taken over' : 'it had not taken over';
  log('info', `${moved}, serving now: ${failure.serving ?? 'nothing'}`);
}
