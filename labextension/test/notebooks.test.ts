/** What is put into a notebook, and where the server has one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pathBelow, withNeeds } from '../src/lab/notebooks';

test('a magic brings the line that loads it, unless the notebook has that', () => {
  assert.equal(withNeeds('%shm_get x', []), '%load_ext jupyter_shm\n%shm_get x');
  assert.equal(withNeeds('%shm_get x', ['a = 1', 'b = 2\n  %load_ext  jupyter_shm']), '%shm_get x');
  assert.equal(
    withNeeds('%shm_get x', ['# %load_ext jupyter_shm']),
    '%load_ext jupyter_shm\n%shm_get x'
  );
});

test('code that brings what it needs is left as it is', () => {
  const code = 'import jupyter_shm as shm\nx = shm.get("x y")';

  assert.equal(withNeeds(code, []), code);
});

test('a notebook is found below the folder of the server, and nowhere else', () => {
  assert.equal(pathBelow('/data/notes/a/b.ipynb', '/data/notes'), 'a/b.ipynb');
  assert.equal(pathBelow('/data/notes/a.ipynb', '/data/notes/'), 'a.ipynb');
  assert.equal(pathBelow('/a.ipynb', '/'), 'a.ipynb');
  assert.equal(pathBelow('/data/workshop/a.ipynb', '/data/work'), null);
  assert.equal(pathBelow('a/b.ipynb', '/data/work'), 'a/b.ipynb');
});
