// Hooks that use everything of the contract 1.0.0 that JavaScript can reach. hooks.c says the same
// things.

import { log } from 'gatling:hooks/log@1.0.0';
import { run as runProgram } from 'gatling:hooks/process@1.0.0';
import * as deployment from 'gatling:hooks/deployment@1.0.0';

const say = (line) => log('info', line);

function sayEnv(env) {
  say(`project ${env.project}, version ${env.version}, task ${env.task}, branch ${env.branch}, strategy ${env.strategy}`);
  say(`previous version ${env.previousVersion ?? 'none'}, deploy hooks ${env.deployCallbackModule ?? 'none'}`);
  say(`domains${env.domains.map((name) => ` ${name}`).join('')}`);
  say(`build dir ${env.buildDir}`);
  say(`a port: ${env.availablePort > 0 ? 'yes' : 'no'}, a commit of ${env.commit.length} digits`);
}

function sayDeployment() {
  say(`${deployment.phase()} ${deployment.step()}, attempt ${deployment.attempt()}`);
  say(`run ${deployment.runId()}`);
  say(`started at ${deployment.startedAt()}`);
  say(`failed: ${deployment.failed() ? 'something' : 'nothing'}`);
}

function run(program, script) {
  try {
    const output = runProgram(program, ['-c', script], { cd: 'lib', env: [['WHO', 'a hook']] });
    say(`status ${output.status}, output ${output.output}`);
  } catch (error) {
    const { tag, val } = error.payload ?? error;
    say(`${tag.replace('-', ' ')}: ${val}`);
  }
}

export function beforeMixDepsGet(env) {
  log('debug', 'a line to debug with');
  log('info', 'a line\nand another');
  log('warn', 'a warning');
  log('error', 'an error');
  sayEnv(env);
  sayDeployment();
  run('sh', 'printf \'from %s in %s\' "$WHO" "${PWD##*/}"; exit 3');
  run('no-such-program', '');
  run('cat', '');
}

export function beforeMixCompile(env) {
  if (env.version.endsWith('-refused')) {
    throw new Error('this version is refused');
  }
}

export function afterConfigureNginx() {
  say(`${deployment.phase()} ${deployment.step()}`);
}
