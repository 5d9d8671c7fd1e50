// Bundles the page of the notebook's panel into the Python package: one module and one style sheet, nothing else.

import { build } from 'esbuild';

const out = new URL('../jupyter_shm/panel/static/', import.meta.url).pathname;

await build({
  absWorkingDir: new URL('.', import.meta.url).pathname,
  entryPoints: { widget: 'src/widget.ts' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  outdir: out,
  logLevel: 'warning'
});
await build({
  absWorkingDir: new URL('.', import.meta.url).pathname,
  entryPoints: { widget: 'style/view.css' },
  bundle: true,
  minify: true,
  outdir: out,
  logLevel: 'warning'
});
