/** The whole page: usage, table, the selected object, timeline; and when to draw again. */

import { Details } from './details';
import { button, element, Presence, say } from './dom';
import {
  formatAge,
  formatCount,
  formatSize,
  objectsText,
  untranslated,
  type Translate
} from './formatting';
import type { Host } from './host';
import type { Model } from './model';
import { ObjectTable } from './table';
import { SPANS, Timeline } from './timeline';
import { UsageBar } from './usagebar';

/** What may be said of a view. */
export interface ViewOptions {
  /** Texts in the reader's language; `%1` stands for the first value. */
  translate?: Translate;
  /** Called when the view can be seen, or can be seen no longer. */
  visible?: (isVisible: boolean) => void;
}

/** A page in an element. */
export interface View {
  /** Show which object is selected; `null`: none. Calls nobody. */
  select(id: string | null): void;
  focus(): void;
  dispose(): void;
}

/** Show a model in an element, which has a height of its own. */
export function mountView(
  parent: HTMLElement,
  model: Model,
  host: Host,
  options: ViewOptions = {}
): View {
  return new Page(parent, model, host, options);
}

class Page implements View {
  private readonly t: Translate;
  private readonly node = element('div', 'jp-ShmView');
  private readonly usage: UsageBar;
  private readonly table: ObjectTable;
  private readonly details: Details;
  private readonly timeline: Timeline;
  private readonly toolbar: HTMLElement;
  private readonly fault = element('div', 'jp-Shm-fault');
  private readonly count = element('span', 'jp-Shm-count');
  private readonly empty = element('p', 'jp-Shm-empty');
  private readonly main = element('div', 'jp-Shm-main');
  private readonly lifetimes = element('section', 'jp-Shm-lifetimes');
  private readonly presence: Presence;
  private readonly unlisten: () => void;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStale = true;

  constructor(
    parent: HTMLElement,
    private readonly model: Model,
    private readonly host: Host,
    options: ViewOptions
  ) {
    this.t = options.translate ?? untranslated;
    const { t } = this;
    this.usage = new UsageBar(t);
    this.table = new ObjectTable(model, t, {
      selected: id => this.chosen(id),
      opened: () => this.details.look(),
      removal: () => void this.details.remove()
    });
    this.details = new Details(model, host, t, () => {
      this.chosen(null);
      this.focus();
    });
    this.timeline = new Timeline(model, t, id => this.chosen(id));
    this.fault.setAttribute('role', 'status');
    this.empty.setAttribute('role', 'status');
    this.table.node.append(this.empty);
    this.toolbar = this.bar();
    this.main.append(this.table.node, this.details.node);
    this.lifetimes.append(this.lifetimesHead(), this.timeline.node);
    this.node.append(this.usage.node, this.toolbar, this.fault, this.main, this.lifetimes);
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', t('Shared memory'));
    // JupyterLab's shortcuts of one letter are not for whoever types here.
    this.node.dataset.lmSuppressShortcuts = 'true';
    parent.append(this.node);
    this.unlisten = model.changed(() => this.changed());
    this.presence = new Presence(this.node, isVisible => {
      options.visible?.(isVisible);
      this.changed();
    });
    this.update();
  }

  select(id: string | null): void {
    this.table.select(id);
    this.timeline.selectedId = id;
    this.timeline.update();
    this.details.show((id !== null && this.model.objects.get(id)) || null);
  }

  focus(): void {
    this.table.node.querySelector('table')?.focus();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.unlisten();
    this.presence.dispose();
    this.table.dispose();
    this.timeline.dispose();
    this.node.remove();
  }

  // --- parts -----------------------------------------------------------------------------------------------------

  private bar(): HTMLElement {
    const { t } = this;
    const node = element('div', 'jp-Shm-toolbar');
    const filter = element('input', 'jp-Shm-filter');
    filter.type = 'search';
    filter.placeholder = t('Filter: words, or a name with * and ?');
    filter.setAttribute('aria-label', t('Filter objects'));
    filter.spellcheck = false;
    filter.addEventListener('input', () => {
      this.table.setFilter(filter.value);
      this.tellCount();
    });
    this.count.setAttribute('role', 'status');
    node.append(filter, this.count);
    if (this.host.refresh) {
      const refresh = button(
        'jp-mod-quiet',
        '⟳',
        t('Look again: who reads an object is not told by itself'),
        () => this.host.refresh?.()
      );
      refresh.setAttribute('aria-label', t('Refresh'));
      node.append(refresh);
    }
    return node;
  }

  private lifetimesHead(): HTMLElement {
    const { t } = this;
    const node = element('div', 'jp-Shm-lifetimesHead');
    const toggle = button('jp-mod-heading', t('Lifetimes'), t('Show or hide the timeline'), () => {
      const isOpen = toggle.getAttribute('aria-expanded') !== 'true';
      toggle.setAttribute('aria-expanded', String(isOpen));
      this.lifetimes.classList.toggle('jp-mod-closed', !isOpen);
      this.timeline.update();
    });
    toggle.setAttribute('aria-expanded', 'true');
    const spans = element('div', 'jp-Shm-spans');
    spans.setAttribute('role', 'group');
    spans.setAttribute('aria-label', t('Time shown'));
    const buttons = SPANS.map(span =>
      button('jp-mod-span', formatAge(span), t('The last %1', formatAge(span)), () => choose(span))
    );
    const choose = (span: number): void => {
      this.timeline.span = span;
      buttons.forEach((one, at) => one.setAttribute('aria-pressed', String(SPANS[at] === span)));
      this.changed();
    };
    choose(this.timeline.span);
    spans.append(...buttons);
    node.append(toggle, legend(t), spans);
    return node;
  }

  // --- changes ---------------------------------------------------------------------------------------------------

  private chosen(id: string | null): void {
    this.select(id);
    this.host.selected?.((id !== null && this.model.objects.get(id)) || null);
  }

  /** Draw, or if nobody can see it, when somebody can. */
  private changed(): void {
    this.isStale = true;
    if (this.presence?.isVisible) {
      this.update();
    }
  }

  private update(): void {
    this.isStale = false;
    const { model } = this;
    this.usage.update(model.usage);
    const fault = model.isKnown ? model.fault : this.t('waiting for the store…');
    say(this.fault, fault);
    this.fault.hidden = !fault;
    this.toolbar.hidden = this.main.hidden = this.lifetimes.hidden = Boolean(fault);
    this.table.update();
    this.tellCount();
    const id = this.table.selectedId;
    const object = id === null ? undefined : model.objects.get(id);
    if (id !== null && !object) {
      this.succeed(id);
    } else {
      this.details.show(object ?? null);
    }
    this.timeline.update();
    this.tick();
  }

  /** The selected object is gone: its name may mean another one now. */
  private succeed(id: string): void {
    const name = this.model.lives.nameOf(id);
    const next = name
      ? [...this.model.objects.values()].find(one => one.name === name && one.state !== 'held')
      : null;
    this.chosen(next?.id ?? null);
  }

  /** Ages and the timeline move, also while nothing changes; but only what can be seen, and only then. */
  private tick(): void {
    clearTimeout(this.timer);
    if (!this.presence?.isVisible) {
      return;
    }
    // Rows are drawn with the next frame, so what they show is known a moment later.
    const wait = Math.min(this.table.untilNextAge(), this.timeline.untilNextMove());
    const seconds = Math.max(0.5, Math.min(wait, 60));
    this.timer = setTimeout(() => {
      if (this.isStale) {
        this.update();
      } else {
        this.table.redraw();
        this.timeline.update();
        this.tick();
      }
    }, seconds * 1000);
  }

  private tellCount(): void {
    const { t, table, model } = this;
    const bytes = table.rows.reduce((sum, object) => sum + object.nbytes, 0);
    const all = objectsText(model.objects.size, t);
    const isAll = table.rows.length === model.objects.size;
    const shown = isAll ? all : t('%1 of %2', formatCount(table.rows.length), all);
    // While there is nothing the table says so.
    this.count.classList.toggle('jp-mod-all', isAll);
    say(this.count, model.objects.size ? t('%1, %2', shown, formatSize(bytes)) : '');
    const nothing = model.objects.size
      ? t('No object passes the filter.')
      : t('Nothing is published yet. %shm_put x in a notebook publishes x.');
    say(this.empty, table.rows.length ? '' : nothing);
    this.empty.hidden = table.rows.length > 0;
  }
}

/** What the colours and signs of the timeline mean. */
function legend(t: Translate): HTMLElement {
  const node = element('ul', 'jp-Shm-signs');
  const signs: [string, string, string][] = [
    ['live', '', t('live')],
    ['spilled', '', t('spilled')],
    ['held', '', t('held')],
    ['pending', '', t('pending')],
    ['ended', '', t('ended')],
    ['', '◇', t('overwrite')],
    ['', '▽', t('spill')],
    ['danger', '✕', t('delete')],
    ['', '□', t('expire')]
  ];
  for (const [kind, sign, label] of signs) {
    const entry = element('li');
    const swatch = element(
      'span',
      sign ? `jp-Shm-sign jp-mod-${kind}` : `jp-Shm-swatch jp-mod-${kind}`,
      sign
    );
    swatch.setAttribute('aria-hidden', 'true');
    entry.append(swatch, label);
    node.append(entry);
  }
  return node;
}
