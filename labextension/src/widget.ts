/** The page in a notebook's output: what anywidget loads. The kernel's side is `jupyter_shm/panel/widget.py`. */

import type { DiffMessage, Host, Look, ObjectFacts, Preview, StateMessage } from './view';
import { Model, mountView, stateAfter } from './view';

/** Seconds between two tellings that somebody looks. */
const SEEN_EVERY = 5;

/** Seconds after which what was told may be another day's: a page that was opened again. */
const OLD = 20;

/** What anywidget gives of the kernel's side. */
interface Kernel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  on(event: string, heard: (content: Answer) => void): void;
  off(event: string, heard: (content: Answer) => void): void;
  send(content: unknown): void;
}

interface Answer {
  readonly kind?: string;
  readonly call?: number;
  readonly error?: string;
  readonly text?: string;
  readonly preview?: Look;
  readonly memory?: string;
}

/** One for each panel of the kernel, however many views it has: the store as the panel tells it. */
class Link {
  readonly model = new Model();
  private readonly waiting = new Map<
    number,
    { done: (answer: Answer) => void; failed: (error: Error) => void }
  >();
  private calls = 0;
  private seenAt = 0;
  private toldAt = 0;
  private base: { readonly text: string; readonly state: StateMessage } | null = null;
  private visible = 0;

  constructor(readonly kernel: Kernel) {
    kernel.on('change:_state', this.told);
    kernel.on('change:_diff', this.told);
    kernel.on('msg:custom', this.answered);
    this.take(true);
  }

  dispose(): void {
    this.kernel.off('change:_state', this.told);
    this.kernel.off('change:_diff', this.told);
    this.kernel.off('msg:custom', this.answered);
    this.waiting.forEach(({ failed }) => failed(new Error('the panel was closed')));
  }

  /** Ask the kernel; it answers when no cell runs. */
  ask(verb: string, object: ObjectFacts): Promise<Answer> {
    const call = ++this.calls;
    const { id, name, version } = object;
    const target = { id, name, version, incarnation: this.model.incarnation };
    return new Promise((done, failed) => {
      this.waiting.set(call, { done, failed });
      this.kernel.send({ kind: 'do', call, verb, target });
    });
  }

  refresh(): void {
    this.kernel.send({ kind: 'open' });
  }

  shown(isVisible: boolean): void {
    this.visible += isVisible ? 1 : -1;
    if (isVisible) {
      // Nobody looked, so the kernel may have stopped telling.
      if (Date.now() / 1000 - this.toldAt > OLD) {
        this.refresh();
      } else {
        this.seen();
      }
    }
  }

  private readonly told = (): void => {
    this.take(false);
    this.toldAt = Date.now() / 1000;
    this.seen();
  };

  /** The state as a whole with what has changed since; a diff of an earlier one is passed over. */
  private take(isOld: boolean): void {
    const text = this.kernel.get('_state');
    if (typeof text !== 'string' || !text) {
      return;
    }
    if (text !== this.base?.text) {
      this.base = { text, state: JSON.parse(text) as StateMessage };
    }
    const { state } = this.base;
    const difference = this.kernel.get('_diff');
    const diff = difference ? (JSON.parse(String(difference)) as DiffMessage) : null;
    const message = diff?.base === state.revision ? stateAfter(state, diff) : state;
    // Two changes come one after the other; what is told in between may be of the past.
    if (message.revision >= this.model.revision) {
      this.model.apply(message, isOld);
    }
  }

  /** Say that somebody looks, now and then. */
  private seen(): void {
    const now = Date.now() / 1000;
    if (this.visible > 0 && now - this.seenAt >= SEEN_EVERY) {
      this.seenAt = now;
      this.kernel.send({ kind: 'seen' });
    }
  }

  private readonly answered = (answer: Answer): void => {
    const waiting = answer.kind === 'done' ? this.waiting.get(answer.call ?? 0) : undefined;
    if (waiting) {
      this.waiting.delete(answer.call ?? 0);
      if (answer.error) {
        waiting.failed(new Error(answer.error));
      } else {
        waiting.done(answer);
      }
    }
  };
}

class KernelHost implements Host {
  constructor(private readonly link: Link) {}

  async pin(object: ObjectFacts, isPinned: boolean): Promise<void> {
    await this.link.ask(isPinned ? 'pin' : 'unpin', object);
  }

  async remove(object: ObjectFacts): Promise<void> {
    await this.link.ask('delete', object);
  }

  async release(object: ObjectFacts): Promise<string> {
    return (await this.link.ask('release', object)).text ?? '';
  }

  async preview(object: ObjectFacts): Promise<Preview> {
    const { preview, memory } = await this.link.ask('preview', object);
    if (!preview) {
      throw new Error('the kernel sent nothing to look at');
    }
    return { look: preview, memory: memory ?? '' };
  }

  copy(text: string): Promise<void> {
    return copied(text);
  }

  /** JupyterLab's extension takes the code, where it is installed. */
  insert(code: string): Promise<void> {
    return taken(code) ? Promise.resolve() : copied(code);
  }

  canInsert(): boolean {
    return taken('');
  }

  selected(object: ObjectFacts | null): void {
    this.link.kernel.send({ kind: 'select', id: object?.id ?? '' });
  }

  refresh(): void {
    this.link.refresh();
  }
}

/** Whether somebody takes code for the active notebook; "" only asks. */
function taken(code: string): boolean {
  const asked = new CustomEvent('jupyter-shm:insert', { detail: { code }, cancelable: true });
  return !document.dispatchEvent(asked);
}

async function copied(text: string): Promise<void> {
  if (window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Over plain http, other than from this machine, there is no clipboard but this.
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  const isDone = document.execCommand('copy');
  area.remove();
  if (!isDone) {
    throw new Error(`The browser does not let this page copy: ${text}`);
  }
}

interface Context {
  readonly model: Kernel;
}

interface Face {
  initialize(context: Context): () => void;
  render(context: Context & { readonly el: HTMLElement }): () => void;
}

/** Called once for each panel of the kernel; each of its views is rendered by what this returns. */
export default (): Face => {
  let link: Link | null = null;
  return {
    initialize({ model }) {
      link = new Link(model);
      return () => link?.dispose();
    },
    render: ({ model, el }) => (link === null ? () => undefined : shown(link, model, el))
  };
};

function shown(link: Link, kernel: Kernel, parent: HTMLElement): () => void {
  const frame = document.createElement('div');
  frame.className = 'jp-ShmWidget';
  parent.append(frame);
  let isVisible = false;
  const view = mountView(frame, link.model, new KernelHost(link), {
    visible: now => {
      isVisible = now;
      link.shown(now);
    }
  });
  const sized = (): void => void (frame.style.height = String(kernel.get('height')));
  const selected = (): void => view.select(String(kernel.get('_selected')) || null);
  sized();
  selected();
  kernel.on('change:height', sized);
  kernel.on('change:_selected', selected);
  return () => {
    kernel.off('change:height', sized);
    kernel.off('change:_selected', selected);
    if (isVisible) {
      link.shown(false);
    }
    view.dispose();
    frame.remove();
  };
}
