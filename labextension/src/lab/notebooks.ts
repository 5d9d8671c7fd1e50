/**
 * The notebooks that are open: putting code into the active one, asking its kernel, opening others.
 *
 * A notebook is known by what it has, not by the class of `@jupyterlab/notebook`: that package would double what has to
 * be installed to build this one, and the commands of the notebook do the rest.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

interface Cell {
  readonly model: { readonly sharedModel: { getSource(): string; setSource(text: string): void } };
}

export interface Notebook extends Widget {
  readonly context: { readonly path: string };
  readonly sessionContext: ISessionContext;
  readonly content: { readonly activeCell: Cell | null; readonly widgets: readonly Cell[] };
}

/** The notebook that one works in; null where there is none. */
export function activeNotebook(app: JupyterFrontEnd): Notebook | null {
  const widget = app.shell.currentWidget as Partial<Notebook> | null;
  return widget?.sessionContext && widget.content && 'activeCell' in widget.content
    ? (widget as Notebook)
    : null;
}

/**
 * Put code into a cell of its own below the active one, and what it needs before it where nothing shows that it is there.
 *
 * @param app Where.
 * @param code Such as `%shm_get x`.
 * @returns Whether there was a notebook.
 */
export async function insert(app: JupyterFrontEnd, code: string): Promise<boolean> {
  const notebook = activeNotebook(app);
  if (!notebook) {
    return false;
  }
  const before = notebook.content.widgets.map(cell => cell.model.sharedModel.getSource());
  app.shell.activateById(notebook.id);
  if (notebook.content.activeCell?.model.sharedModel.getSource().trim()) {
    await app.commands.execute('notebook:insert-cell-below');
  }
  notebook.content.activeCell?.model.sharedModel.setSource(withNeeds(code, before));
  return true;
}

/**
 * Code, and the line without which it fails.
 *
 * @param code Such as `%shm_get x`.
 * @param cells What the notebook has in its cells already.
 */
export function withNeeds(code: string, cells: readonly string[]): string {
  const isLoaded = cells.some(cell => /^\s*%load_ext\s+jupyter_shm\b/m.test(cell));
  return code.startsWith('%') && !isLoaded ? `%load_ext jupyter_shm\n${code}` : code;
}

/**
 * Where the server has a notebook.
 *
 * @param path As the kernel knows it.
 * @param root The folder of the server's files.
 * @returns The path below that folder; null where it is not below it.
 */
export function pathBelow(path: string, root: string): string | null {
  if (!path.startsWith('/')) {
    return path;
  }
  const folder = root.endsWith('/') ? root : `${root}/`;
  return path.startsWith(folder) ? path.slice(folder.length) : null;
}

/**
 * Have the kernel of a notebook evaluate an expression; nothing of it is seen in the notebook.
 *
 * @param notebook Whose kernel.
 * @param expression One whose value shows itself as JSON.
 * @returns The JSON.
 */
export async function evaluate(notebook: Notebook, expression: string): Promise<unknown> {
  const kernel = notebook.sessionContext.session?.kernel;
  if (!kernel) {
    throw new Error('The active notebook has no kernel.');
  }
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    user_expressions: { it: expression }
  });
  const reply = await future.done;
  const found = ('user_expressions' in reply.content ? reply.content.user_expressions : {}) as {
    it?: { status: string; data?: Record<string, unknown>; ename?: string; evalue?: string };
  };
  if (found.it?.status !== 'ok') {
    throw new Error(explained(found.it?.ename, found.it?.evalue));
  }
  return found.it.data?.['application/json'];
}

function explained(ename = '', evalue = ''): string {
  if (ename === 'ModuleNotFoundError' && evalue.includes('jupyter_shm')) {
    return 'The kernel of the active notebook has no jupyter_shm. Install it in that kernel’s environment.';
  }
  return ename ? `${ename}: ${evalue}` : 'The kernel of the active notebook gave no answer.';
}
