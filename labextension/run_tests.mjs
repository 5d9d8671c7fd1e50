// Runs test/*.test.ts with Node's own runner: bundled first, for Node reads no TypeScript.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'jupyter-shm-test-'));
const found = readdirSync(join(here, 'test')).filter(name => name.endsWith('.test.ts'));
try {
  await build({
    absWorkingDir: here,
    entryPoints: found.map(name => `test/${name}`),
    bundle: true,
    format: 'esm',
    platform: 'node',
    outdir: out,
    outExtension: { '.js': '.mjs' },
    sourcemap: 'inline',
    logLevel: 'warning'
  });
  const bundles = found.map(name => join(out, name.replace(/\.ts$/, '.mjs')));
  const done = spawnSync(
    process.execPath,
    ['--enable-source-maps', '--test', '--test-reporter=spec', ...bundles],
    {
      stdio: 'inherit'
    }
  );
  process.exitCode = done.status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}
