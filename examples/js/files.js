// Files, through WASI itself: QuickJS has no API for them.

import { getDirectories } from 'wasi:filesystem/preopens@0.2.12';

const CHUNK = 65536;

// The text of a file, or null if there is none.
export function readText(path) {
  const file = open(path);
  if (file === null) {
    return null;
  }
  let escaped = '';
  for (let offset = 0, end = false; !end; ) {
    const [bytes, isLast] = file.read(CHUNK, offset);
    escaped += Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    offset += bytes.length;
    end = isLast;
  }
  // QuickJS has no TextDecoder.
  return decodeURIComponent(escaped);
}

function open(path) {
  for (const [folder, name] of getDirectories()) {
    if (path.startsWith(`${name}/`)) {
      const inside = path.slice(name.length + 1);
      try {
        return folder.openAt({ symlinkFollow: true }, inside, {}, { read: true });
      } catch (error) {
        if (error.payload === 'no-entry') {
          return null;
        }
        throw new Error(`cannot read ${path}: ${error.message}`);
      }
    }
  }
  throw new Error(`cannot read ${path}: no grant covers it`);
}
