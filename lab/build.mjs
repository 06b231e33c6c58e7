// Builds `labextension/`, which is committed and installed: `npm run build`.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = ['build.mjs', 'package-lock.json', 'package.json', 'src', 'style', 'tsconfig.json', 'webpack.config.cjs'];

function* filesOf(path) {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory()) {
      yield* filesOf(child);
    } else {
      yield child;
    }
  }
}

// `tests/lab/test_build.py` computes the same hash and compares.
function hashSources() {
  const names = SOURCES.flatMap(name => (name.includes('.') ? [name] : [...filesOf(name)])).sort();
  const hash = createHash('sha256');
  for (const name of names) {
    hash.update(`${name}\0`).update(createHash('sha256').update(readFileSync(name)).digest('hex')).update('\n');
  }
  return hash.digest('hex');
}

const run = (...command) => execFileSync(process.execPath, command, { stdio: 'inherit' });

for (const folder of ['lib', 'labextension']) {
  rmSync(folder, { recursive: true, force: true });
}
run(join('node_modules', 'typescript', 'bin', 'tsc'));
run(
  join('node_modules', '@jupyter', 'builder', 'lib', 'build-labextension.js'),
  '--core-package-file',
  join('node_modules', '@jupyterlab', 'core-meta', 'core.package.json'),
  '.'
);
writeFileSync('source_hash', `${hashSources()}\n`);
