/** What the sidebar can do: the server changes the store, the active notebook's kernel looks into objects. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, showErrorMessage } from '@jupyterlab/apputils';

import type { Host, Look, ObjectFacts, Preview, Translate } from '../view';
import type { Connection } from './connection';
import { activeNotebook, evaluate, insert, pathBelow } from './notebooks';

/** What a kernel says, as `jupyter_shm/panel/answer.py` words it. */
interface Answer {
  /** Why it could not be done; "" if it was. */
  readonly fault: string;
  readonly preview?: Look;
  readonly memory?: string;
  readonly text?: string;
}

export class LabHost implements Host {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly connection: Connection,
    private readonly t: Translate
  ) {}

  async pin(object: ObjectFacts, isPinned: boolean): Promise<void> {
    await this.connection.pin(object, isPinned);
  }

  async remove(object: ObjectFacts): Promise<void> {
    await this.connection.remove(object);
  }

  async release(object: ObjectFacts): Promise<string> {
    return (await this.ask('release', object)).text ?? '';
  }

  async preview(object: ObjectFacts): Promise<Preview> {
    const { preview, memory } = await this.ask('preview', object);
    if (!preview) {
      throw new Error(this.t('The kernel gave no preview.'));
    }
    return { look: preview, memory: memory ?? '' };
  }

  async copy(text: string): Promise<void> {
    Clipboard.copyToSystem(text);
    await Promise.resolve();
  }

  async insert(code: string): Promise<void> {
    if (!(await insert(this.app, code))) {
      throw new Error(this.t('No notebook is open that it could be put into.'));
    }
  }

  openNotebook(path: string): void {
    const below = pathBelow(path, this.connection.root);
    if (below === null) {
      const text = this.t('%1 is outside of the folder that this server shows.', path);
      void showErrorMessage(this.t('The notebook cannot be opened here'), text);
      return;
    }
    void this.app.commands.execute('docmanager:open', { path: below });
  }

  refresh(): void {
    this.connection.refresh();
  }

  /** The server must not unpickle: what an object is like, a kernel of the user's finds out. */
  private async ask(verb: 'preview' | 'release', object: ObjectFacts): Promise<Answer> {
    const notebook = activeNotebook(this.app);
    if (!notebook) {
      throw new Error(this.t('Open a notebook first: its kernel does this.'));
    }
    const { id, name, version } = object;
    const { store, incarnation } = this.connection.model;
    // JSON, and in it no letter that Python reads otherwise than JavaScript has written it.
    const asked = JSON.stringify(
      JSON.stringify({ store, verb, target: { id, name, version, incarnation } })
    );
    const expression = `__import__('jupyter_shm.panel.answer', fromlist=['answer']).answer(${ascii(asked)})`;
    const answer = (await evaluate(notebook, expression)) as Answer;
    if (answer.fault) {
      throw new Error(answer.fault);
    }
    return answer;
  }
}

/** A literal that means the same in Python, whatever is in it. */
function ascii(literal: string): string {
  return literal.replace(
    /[^\x20-\x7e]/g,
    letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
}
