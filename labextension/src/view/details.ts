/** One object in full: what can be done with it, who holds it, and a look into it. */

import { fetchingCode } from './code';
import { isMade, stateMeaning, stateName } from './columns';
import { confirmed } from './confirm';
import { button, element, say } from './dom';
import {
  displayName,
  formatCount,
  formatShape,
  formatSize,
  objectsText,
  termsText,
  visible,
  type Translate
} from './formatting';
import type { Host } from './host';
import { drawLook } from './look';
import type { ObjectFacts, Reader } from './messages';
import type { Model } from './model';

/** Seconds after which it is said that something has not been done yet. */
const PATIENCE = 0.8;

/** The pane of the selected object. */
export class Details {
  readonly node = element('section', 'jp-Shm-details');
  private readonly title = element('h2', 'jp-Shm-title');
  private readonly facts = element('dl', 'jp-Shm-facts');
  private readonly found = element('div', 'jp-Shm-found');
  private readonly status = element('div', 'jp-Shm-status');
  private readonly pin: HTMLButtonElement;
  private readonly copyButton: HTMLButtonElement;
  private readonly insertButton: HTMLButtonElement | null;
  private readonly previewButton: HTMLButtonElement | null;
  private readonly releaseButton: HTMLButtonElement | null;
  private readonly deleteButton: HTMLButtonElement;
  private object: ObjectFacts | null = null;
  private told = '';
  private doing = 0;

  constructor(
    private readonly model: Model,
    private readonly host: Host,
    private readonly t: Translate,
    closed: () => void
  ) {
    const head = element('div', 'jp-Shm-detailsHead');
    const close = button('jp-mod-quiet', '×', t('Close'), closed);
    close.setAttribute('aria-label', t('Close'));
    head.append(this.title, close);
    const actions = element('div', 'jp-Shm-actions');
    actions.setAttribute('role', 'group');
    actions.setAttribute('aria-label', t('Actions'));
    const { insert, preview, release } = host;
    this.insertButton = insert
      ? button(
          'jp-mod-primary',
          t('Insert'),
          t('Insert the code that fetches it into the notebook'),
          () =>
            this.withObject(object => insert.call(host, fetchingCode(object.name)), t('inserted'))
        )
      : null;
    this.copyButton = button(
      insert ? '' : 'jp-mod-primary',
      t('Copy'),
      t('Copy the code that fetches it'),
      () => this.withObject(object => host.copy(fetchingCode(object.name)), t('copied'))
    );
    this.previewButton = preview
      ? button('', t('Preview'), t('Look into it, in this kernel'), () => this.look())
      : null;
    this.pin = button('', t('Pin'), t('Keep it from expiring and from being spilled'), () =>
      this.withObject(object => host.pin(object, !object.pinned))
    );
    this.releaseButton = release
      ? button(
          '',
          t('Release'),
          t('Let go of every variable and output of this notebook that holds it'),
          () => this.withObject(object => release.call(host, object))
        )
      : null;
    this.deleteButton = button(
      'jp-mod-danger',
      t('Delete…'),
      t('Take its name away'),
      () => void this.remove()
    );
    const shown = [
      this.insertButton,
      this.copyButton,
      this.previewButton,
      this.pin,
      this.releaseButton,
      this.deleteButton
    ];
    actions.append(...shown.filter(one => one !== null));
    this.status.setAttribute('role', 'status');
    this.node.setAttribute('aria-label', t('Selected object'));
    this.node.append(head, actions, this.status, this.found, this.facts);
    this.show(null);
  }

  /** Show another object, or the same one as it is now; `null`: none. */
  show(object: ObjectFacts | null): void {
    if (object?.id !== this.object?.id) {
      this.found.replaceChildren();
      this.say('');
      this.doing++;
      this.told = '';
      this.node.scrollTop = 0;
    }
    this.object = object;
    this.node.hidden = object === null;
    if (object === null) {
      return;
    }
    const { t } = this;
    say(this.title, displayName(object, t), displayName(object, t));
    say(this.pin, object.pinned ? t('Unpin') : t('Pin'), this.pin.title);
    this.pin.setAttribute('aria-pressed', String(object.pinned));
    const isNamed = object.name !== '' && object.state !== 'held';
    const isThere = object.state !== 'held' && isMade(object);
    this.pin.disabled = this.deleteButton.disabled = !isThere;
    this.copyButton.disabled = !isNamed;
    if (this.previewButton) {
      this.previewButton.disabled = !isMade(object);
    }
    if (this.insertButton) {
      this.insertButton.disabled = !isNamed;
      this.insertButton.hidden = this.host.canInsert?.() === false;
      this.copyButton.classList.toggle('jp-mod-primary', this.insertButton.hidden);
    }
    if (this.releaseButton) {
      this.releaseButton.disabled = object.name === '';
    }
    const code = isNamed ? fetchingCode(object.name) : '';
    this.copyButton.title = code
      ? t('Copy: %1', code)
      : t('It has no name by which it could be fetched');
    this.tell(object);
  }

  /** Look into it. */
  look(): void {
    const { host } = this;
    const { preview } = host;
    if (!preview || this.previewButton?.disabled) {
      return;
    }
    this.withObject(async object => {
      const { look, memory } = await preview.call(host, object);
      if (this.object?.id === object.id) {
        this.found.replaceChildren(drawLook(look), element('p', 'jp-Shm-memory', memory));
      }
    });
  }

  /** Ask whether to delete it, and do so. */
  async remove(): Promise<void> {
    const { object, t } = this;
    if (object === null || this.deleteButton.disabled) {
      return;
    }
    const readers = object.holders.length;
    const kept =
      readers === 0
        ? t('Nobody reads it: its memory is free at once.')
        : readers === 1
          ? t('1 reader keeps its bytes until it lets go.')
          : t('%1 readers keep its bytes until they let go.', readers);
    const isSure = await confirmed(this.node, {
      title: t('Delete %1?', displayName(object, t)),
      text: kept,
      yes: t('Delete'),
      no: t('Cancel')
    });
    if (isSure) {
      this.run(() => this.host.remove(object));
    }
  }

  // --- doing -----------------------------------------------------------------------------------------------------

  private withObject(deed: (object: ObjectFacts) => Promise<string | void>, done = ''): void {
    const { object } = this;
    if (object) {
      this.run(() => deed(object), done);
    }
  }

  private run(deed: () => Promise<string | void>, done = ''): void {
    const number = ++this.doing;
    const isOurs = (): boolean => number === this.doing;
    this.say('');
    const late = setTimeout(
      () => isOurs() && this.say(this.t('waiting for the kernel…')),
      PATIENCE * 1000
    );
    deed()
      .then(text => isOurs() && this.say(text || done))
      .catch(
        (error: unknown) =>
          isOurs() && this.say(error instanceof Error ? error.message : String(error), true)
      )
      .finally(() => clearTimeout(late));
  }

  private say(text: string, isError = false): void {
    say(this.status, text);
    this.status.classList.toggle('jp-mod-error', isError);
  }

  // --- telling ---------------------------------------------------------------------------------------------------

  private tell(object: ObjectFacts): void {
    const { t } = this;
    const now = this.model.now();
    const rows: [string, string][] = [
      [t('Type'), isMade(object) ? object.type : ''],
      [t('Shape'), [formatShape(object.shape), object.dtype ?? ''].filter(text => text).join(', ')],
      [
        t('Size'),
        isMade(object)
          ? t('%1 (%2 bytes)', formatSize(object.nbytes), formatCount(object.nbytes))
          : ''
      ],
      [t('State'), said(stateName(object.state, t), stateMeaning(object.state, t))],
      [t('Lives'), termsText(object, now, t)],
      [t('Version'), object.name ? String(object.version) : ''],
      [t('Created'), new Date(object.created * 1000).toLocaleString()],
      [t('Reads'), formatCount(object.reads)],
      [t('Contained in'), object.containers ? objectsText(object.containers, t) : '']
    ];
    const told = JSON.stringify([rows, object.owner, object.holders]);
    if (told === this.told) {
      return;
    }
    this.told = told;
    const terms = rows
      .filter(([, text]) => text)
      .map(([label, text]) => term(label, element('dd', '', text)));
    const owner = term(t('Publisher'), this.notebook(object.owner, object.notebook, element('dd')));
    const holders = object.holders.map(reader => this.reader(reader));
    const held = element('dd');
    held.append(...(holders.length ? holders : [t('nobody')]));
    this.facts.replaceChildren(...terms.flat(), ...owner, ...term(t('Held by'), held));
  }

  private reader(reader: Reader): HTMLElement {
    const node = this.notebook(reader.label, reader.notebook, element('div', 'jp-Shm-reader'));
    // A notebook's workers have its name, and no kernel.
    const isChild = reader.notebook !== '' && reader.kernel === '';
    const { pid } = reader;
    const text = isChild ? this.t('pid %1, a process of it', pid) : this.t('pid %1', pid);
    node.append(element('span', 'jp-Shm-pid', ` ${text}`));
    return node;
  }

  private notebook<Kind extends HTMLElement>(label: string, path: string, node: Kind): Kind {
    const { openNotebook } = this.host;
    if (path && openNotebook) {
      const open = (): void => openNotebook.call(this.host, path);
      node.append(button('jp-mod-link', visible(label), this.t('Open %1', visible(path)), open));
    } else {
      node.append(element('span', '', visible(label)));
    }
    return node;
  }
}

function said(...parts: string[]): string {
  return parts.filter(text => text).join(': ');
}

function term(label: string, definition: HTMLElement): [HTMLElement, HTMLElement] {
  return [element('dt', '', label), definition];
}
