/** The table of objects. Only the rows that can be seen are in the page, so that thousands scroll like ten. */

import { columnLooks, type ColumnLook } from './columns';
import { element, perFrame, say } from './dom';
import { untilNextAge, type Translate } from './formatting';
import type { ObjectFacts } from './messages';
import type { Model } from './model';
import { filterOf, sorted, type Order } from './order';

/** Pixels; `view.css` has it too. */
const ROW = 26;

/** Rows above and below what can be seen. */
const MORE = 6;

let tables = 0;

/** What a table tells. */
export interface TableEvents {
  selected: (id: string | null) => void;
  /** Enter was pressed, or a row clicked twice. */
  opened: () => void;
  /** Delete was pressed. */
  removal: () => void;
}

/** One row of the page, which shows one object after the other. */
class Row {
  readonly node = element('tr', 'jp-Shm-row');
  object: ObjectFacts | null = null;
  private readonly cells: { readonly look: ColumnLook; readonly text: HTMLElement }[] = [];
  private readonly pin = element('span', 'jp-Shm-pin');

  constructor(looks: readonly ColumnLook[]) {
    for (const look of looks) {
      // A row is known by its name.
      const cell = element(
        look.column === 'name' ? 'th' : 'td',
        `jp-Shm-cell jp-Shm-${look.column}`
      );
      if (cell.tagName === 'TH') {
        cell.setAttribute('scope', 'row');
      }
      const text = look.column === 'name' ? element('span', 'jp-Shm-nameText') : cell;
      if (text !== cell) {
        // A cell of a table cannot give the pin its room first.
        const line = element('span', 'jp-Shm-nameLine');
        line.append(text, this.pin);
        cell.append(line);
      }
      cell.classList.toggle('jp-mod-number', look.isNumber === true);
      this.cells.push({ look, text });
      this.node.append(cell);
    }
  }

  show(
    object: ObjectFacts,
    index: number,
    now: number,
    isSelected: boolean,
    prefix: string,
    pinned: string
  ): void {
    if (this.object === object) {
      this.cells
        .filter(({ look }) => look.column === 'age')
        .forEach(({ look, text }) => say(text, look.text(object, now), text.title));
    } else {
      this.object = object;
      this.cells.forEach(({ look, text }) => say(text, look.text(object, now), look.title(object)));
      say(this.pin, object.pinned ? pinned : '');
      this.node.dataset.state = object.state;
      this.node.classList.toggle('jp-mod-anonymous', !object.name);
    }
    this.node.classList.toggle('jp-mod-selected', isSelected);
    this.node.setAttribute('aria-selected', String(isSelected));
    // The heading is the first row.
    this.node.setAttribute('aria-rowindex', String(index + 2));
    this.node.id = `${prefix}-${object.id}`;
  }
}

/** The table; `node` scrolls. */
export class ObjectTable {
  readonly node = element('div', 'jp-Shm-tableScroll');
  /** Objects that pass the filter. */
  rows: ObjectFacts[] = [];
  selectedId: string | null = null;

  private readonly prefix = `jp-Shm-table${++tables}`;
  private readonly table = element('table', 'jp-Shm-table');
  private readonly body = element('tbody');
  private readonly above = element('tr', 'jp-Shm-space');
  private readonly below = element('tr', 'jp-Shm-space');
  private readonly looks: ColumnLook[];
  private readonly headings = new Map<string, HTMLElement>();
  private readonly drawing = perFrame(() => this.draw());
  private readonly resizing = new ResizeObserver(() => this.resized());
  private shown: Row[] = [];
  private first = 0;
  private filter = filterOf('');
  private order: Order = { column: 'age', isDescending: false };

  constructor(
    private readonly model: Model,
    private readonly t: Translate,
    private readonly events: TableEvents
  ) {
    this.looks = columnLooks(t);
    this.table.setAttribute('role', 'grid');
    this.table.setAttribute('aria-label', t('Objects'));
    this.table.tabIndex = 0;
    [this.above, this.below].forEach(space => space.setAttribute('aria-hidden', 'true'));
    this.body.append(this.above, this.below);
    this.table.append(this.head(), this.body);
    this.node.append(this.table);
    this.node.addEventListener('scroll', this.drawing.ask, { passive: true });
    this.body.addEventListener('click', event => this.clicked(event));
    this.body.addEventListener('dblclick', () => this.events.opened());
    this.table.addEventListener('keydown', event => this.pressed(event));
    this.resizing.observe(this.node);
  }

  dispose(): void {
    this.resizing.disconnect();
    this.drawing.cancel();
  }

  /** Show only what a filter's text lets pass. */
  setFilter(text: string): void {
    this.filter = filterOf(text);
    this.update();
    this.node.scrollTop = 0;
  }

  /** The model has changed. */
  update(): void {
    this.rows = sorted([...this.model.objects.values()].filter(this.filter), this.order);
    this.table.setAttribute('aria-rowcount', String(this.rows.length + 1));
    this.drawing.ask();
  }

  /** Ages have changed. */
  redraw(): void {
    this.drawing.ask();
  }

  /** Seconds until an age that can be seen says something else; `Infinity` if there is none. */
  untilNextAge(): number {
    const now = this.model.now();
    return this.shown.reduce(
      (least, row) =>
        row.object ? Math.min(least, untilNextAge(now - row.object.created)) : least,
      Infinity
    );
  }

  /** Show which one is selected, and scroll to it if it was not selected before. */
  select(id: string | null): void {
    const isNew = id !== this.selectedId;
    this.selectedId = id;
    if (isNew && id !== null) {
      this.reveal(this.rows.findIndex(object => object.id === id));
    }
    this.drawing.ask();
  }

  private head(): HTMLTableSectionElement {
    const head = element('thead');
    const row = element('tr');
    for (const look of this.looks) {
      const cell = element('th', `jp-Shm-heading jp-Shm-${look.column}`);
      cell.scope = 'col';
      cell.classList.toggle('jp-mod-number', look.isNumber === true);
      const sort = element('button', 'jp-Shm-sort', look.label);
      sort.type = 'button';
      sort.title = this.t('Sort by %1', look.label);
      sort.addEventListener('click', () => this.sortBy(look));
      cell.append(sort);
      this.headings.set(look.column, cell);
      row.append(cell);
    }
    head.append(row);
    this.showOrder();
    return head;
  }

  private sortBy(look: ColumnLook): void {
    const isSame = this.order.column === look.column;
    this.order = {
      column: look.column,
      isDescending: isSame ? !this.order.isDescending : look.isDescendingFirst === true
    };
    this.showOrder();
    this.update();
  }

  private showOrder(): void {
    for (const [column, cell] of this.headings) {
      if (column === this.order.column) {
        cell.setAttribute('aria-sort', this.order.isDescending ? 'descending' : 'ascending');
      } else {
        cell.removeAttribute('aria-sort');
      }
    }
  }

  /** Put the rows into the page that can be seen; each keeps its place in it as long as it can. */
  private draw(): void {
    const wanted = Math.ceil(this.node.clientHeight / ROW) + 2 * MORE;
    const count = Math.min(this.rows.length, this.node.clientHeight ? wanted : 0);
    const last = Math.max(0, this.rows.length - count);
    const first = Math.min(last, Math.max(0, Math.floor(this.node.scrollTop / ROW) - MORE));
    this.fit(count);
    this.turn(first);
    const now = this.model.now();
    this.shown.forEach((row, at) => {
      const object = this.rows[first + at];
      if (object) {
        row.show(
          object,
          first + at,
          now,
          object.id === this.selectedId,
          this.prefix,
          this.t('pinned')
        );
      }
    });
    this.above.style.height = `${first * ROW}px`;
    this.below.style.height = `${(this.rows.length - first - count) * ROW}px`;
    const isShown = this.shown.some(row => row.object?.id === this.selectedId);
    if (isShown) {
      this.table.setAttribute('aria-activedescendant', `${this.prefix}-${this.selectedId}`);
    } else {
      this.table.removeAttribute('aria-activedescendant');
    }
  }

  private fit(count: number): void {
    while (this.shown.length < count) {
      const row = new Row(this.looks);
      this.shown.push(row);
      this.below.before(row.node);
    }
    this.shown.splice(count).forEach(row => row.node.remove());
  }

  /** What scrolls out at one end comes in at the other; all between stays as it is. */
  private turn(first: number): void {
    const by = first - this.first;
    this.first = first;
    if (by > 0 && by < this.shown.length) {
      const moved = this.shown.splice(0, by);
      this.below.before(...moved.map(row => row.node));
      this.shown.push(...moved);
    } else if (by < 0 && -by < this.shown.length) {
      const moved = this.shown.splice(by);
      this.above.after(...moved.map(row => row.node));
      this.shown.unshift(...moved);
    }
  }

  private clicked(event: MouseEvent): void {
    const node = (event.target as HTMLElement).closest('tr');
    const row = this.shown.find(one => one.node === node);
    if (row?.object) {
      this.events.selected(row.object.id);
    }
  }

  private pressed(event: KeyboardEvent): void {
    if (event.target !== this.table || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const page = Math.max(1, Math.floor(this.node.clientHeight / ROW) - 2);
    const at = this.rows.findIndex(object => object.id === this.selectedId);
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at < 0 ? 0 : at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.rows.length - 1
    };
    const step = steps[event.key];
    if (step !== undefined) {
      const object = this.rows[Math.max(0, Math.min(this.rows.length - 1, step))];
      if (object) {
        this.events.selected(object.id);
      }
    } else if (event.key === 'Enter') {
      this.events.opened();
    } else if (event.key === 'Delete') {
      this.events.removal();
    } else if (event.key === 'Escape') {
      this.events.selected(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** What is selected stays in sight when its own pane takes the room. */
  private resized(): void {
    this.reveal(this.rows.findIndex(object => object.id === this.selectedId));
    this.drawing.ask();
  }

  private reveal(index: number): void {
    if (index < 0) {
      return;
    }
    const room = this.node.clientHeight - ROW; // the heading covers a row
    if (index * ROW < this.node.scrollTop) {
      this.node.scrollTop = index * ROW;
    } else if ((index + 1) * ROW > this.node.scrollTop + room) {
      this.node.scrollTop = (index + 1) * ROW - room;
    }
  }
}
