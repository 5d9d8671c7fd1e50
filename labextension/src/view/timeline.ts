/** The timeline: a bar for each object from its creation to its death, and marks for what happened to it. */

import {
  displayName,
  formatAge,
  formatSize,
  objectsText,
  visible,
  type Translate
} from './formatting';
import { element, lastOf, perFrame } from './dom';
import type { Life, Mark, Track } from './lives';
import type { Model } from './model';
import { drawMark, outline, paletteOf, stripes, type Palette } from './signs';

/** Pixels; of one track, of the bar in it from where on, of the axis, and of the labels where there is room. */
const TRACK = 20;
const BAR = 4;
const HEIGHT = 10;
const AXIS = 18;
const LABELS = 132;
const NARROW = 420;

/** What a label of the axis takes. */
const TICK = 70;

/** What is left free behind "now", for the mark of what has just happened. */
const EDGE = 8;

/** What the handle takes behind that, in the corner by which a panel is made larger. */
const HANDLE = 8;

/** Seconds that can be shown. */
export const SPANS = [60, 300, 600] as const;

/** Where a mark is found under the pointer. */
const NEAR = 6;

/** What a timeline shows of the lives: tracks that reach into the time that is shown. */
export function tracksSince(tracks: readonly Track[], since: number): Track[] {
  return tracks.filter(track => track.lives.some(life => (life.gone ?? Infinity) >= since));
}

/** Where in a span of time a moment is, from 0 to 1; what is before it, is at 0. */
export function place(time: number | null, now: number, span: number): number {
  return time === null ? 0 : Math.max(0, Math.min(1, 1 - (now - time) / span));
}

/** Does anything move in the last `span` seconds but the ends of bars that are still open? */
export function isMoving(tracks: readonly Track[], now: number, span: number): boolean {
  const since = now - span;
  const isRecent = (time: number | null): boolean => time !== null && time > since;
  return tracks.some(track =>
    track.lives.some(
      life =>
        isRecent(life.start) ||
        isRecent(life.made) ||
        isRecent(life.end) ||
        isRecent(life.gone) ||
        life.marks.some(mark => mark.time > since)
    )
  );
}

/** The timeline; `node` scrolls. */
export class Timeline {
  readonly node = element('div', 'jp-Shm-timeline');
  span: number = SPANS[1];
  selectedId: string | null = null;

  private readonly spacer = element('div', 'jp-Shm-timelineSpace');
  private readonly canvas = element('canvas', 'jp-Shm-timelineCanvas');
  private readonly drawing = perFrame(() => this.draw());
  private readonly resizing = new ResizeObserver(() => this.drawing.ask());
  private readonly themes = new MutationObserver(() => this.drawing.ask());
  private tracks: Track[] = [];
  private readonly fitted = new Map<string, string>();

  constructor(
    private readonly model: Model,
    private readonly t: Translate,
    private readonly selected: (id: string) => void
  ) {
    this.canvas.setAttribute('role', 'img');
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', t('Lifetimes'));
    this.spacer.append(this.canvas);
    this.node.append(this.spacer);
    this.node.addEventListener('scroll', this.drawing.ask, { passive: true });
    this.canvas.addEventListener('mousemove', event => this.pointed(event));
    this.canvas.addEventListener('click', event => this.clicked(event));
    this.resizing.observe(this.node);
    // The theme is told by attributes there; what is drawn does not follow by itself.
    this.themes.observe(document.body, { attributes: true });
  }

  dispose(): void {
    this.resizing.disconnect();
    this.themes.disconnect();
    this.drawing.cancel();
  }

  /** The model, the span or the time has changed. */
  update(): void {
    this.drawing.ask();
  }

  /** Seconds until something has moved by a pixel; `Infinity` if nothing moves. */
  untilNextMove(): number {
    const width = this.node.clientWidth - this.labels() - EDGE;
    if (width <= 0 || !isMoving(this.tracks, this.model.now(), this.span)) {
      return Infinity;
    }
    return Math.max(0.5, this.span / width);
  }

  private labels(): number {
    return this.node.clientWidth < NARROW ? 84 : LABELS;
  }

  // --- drawing ---------------------------------------------------------------------------------------------------

  private draw(): void {
    const now = this.model.now();
    this.tracks = tracksSince(this.model.lives.tracks(), now - this.span);
    const width = this.node.clientWidth;
    const height = this.node.clientHeight;
    this.spacer.style.height = `${Math.max(height, this.tracks.length * TRACK + AXIS)}px`;
    const context = this.sized(width, height);
    if (context === null) {
      return;
    }
    const palette = paletteOf(this.node);
    context.clearRect(0, 0, width, height);
    context.font = palette.font;
    context.textBaseline = 'middle';
    const top = this.node.scrollTop;
    const first = Math.max(0, Math.floor(top / TRACK));
    const last = Math.min(this.tracks.length, Math.ceil((top + height - AXIS) / TRACK));
    if (this.tracks.length) {
      this.grid(context, palette, width, height);
    }
    this.tracks.slice(first, last).forEach((track, index) => {
      const at = first + index;
      this.track(context, palette, track, at, at * TRACK - top, width, now);
    });
    this.axis(context, palette, width, height);
    if (!this.tracks.length) {
      context.fillStyle = palette.faint;
      context.textAlign = 'center';
      context.fillText(this.t('nothing has happened'), width / 2, (height - AXIS) / 2);
    }
    this.describe(now);
  }

  private sized(width: number, height: number): CanvasRenderingContext2D | null {
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const context = width && height ? this.canvas.getContext('2d') : null;
    context?.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  }

  private grid(
    context: CanvasRenderingContext2D,
    palette: Palette,
    width: number,
    height: number
  ): void {
    const left = this.labels();
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.beginPath();
    for (let part = 0; part <= 5; part++) {
      const x = Math.round(left + ((width - left - EDGE) * part) / 5) + 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, height - AXIS);
    }
    context.stroke();
  }

  private axis(
    context: CanvasRenderingContext2D,
    palette: Palette,
    width: number,
    height: number
  ): void {
    const left = this.labels();
    context.fillStyle = palette.background;
    context.fillRect(0, height - AXIS, width, AXIS);
    context.fillStyle = palette.faint;
    const isNarrow = (width - left) / 5 < TICK;
    for (let part = 0; part <= 5; part += isNarrow ? 5 : 1) {
      const seconds = Math.round(this.span * (1 - part / 5));
      const x = left + ((width - left - EDGE) * part) / 5 - (part === 5 ? HANDLE : 0);
      context.textAlign = part === 5 ? 'right' : part === 0 ? 'left' : 'center';
      context.fillText(seconds ? `−${formatAge(seconds)}` : this.t('now'), x, height - AXIS / 2);
    }
  }

  private track(
    context: CanvasRenderingContext2D,
    palette: Palette,
    track: Track,
    at: number,
    top: number,
    width: number,
    now: number
  ): void {
    const left = this.labels();
    const middle = top + TRACK / 2;
    if (at % 2) {
      context.fillStyle = palette.stripe;
      context.fillRect(0, top, width, TRACK);
    }
    const isSelected = track.lives.some(life => life.id === this.selectedId);
    const isOver = track.lives.every(life => life.end !== null);
    context.textAlign = 'left';
    context.fillStyle = isOver ? palette.faint : palette.text;
    context.font = isSelected ? `bold ${palette.font}` : palette.font;
    const name = displayName(track, this.t);
    context.fillText(this.fit(context, name, left - 14, isSelected), 8, middle);
    context.font = palette.font;
    const x = (time: number | null): number =>
      left + place(time, now, this.span) * (width - left - EDGE);
    track.lives.forEach(life => this.bars(context, palette, life, top, x, now));
    const since = now - this.span;
    const marks = track.lives.flatMap(life => life.marks.filter(mark => mark.time >= since));
    marks.forEach(mark => drawMark(context, palette, mark, x(mark.time), top + BAR + HEIGHT / 2));
  }

  private bars(
    context: CanvasRenderingContext2D,
    palette: Palette,
    life: Life,
    top: number,
    x: (time: number | null) => number,
    now: number
  ): void {
    const end = life.end ?? now;
    const isOver = life.end !== null;
    const from = x(life.start);
    const to = Math.max(from + 2, x(end));
    const since = now - this.span;
    if (end >= since) {
      const promised = promisedUntil(life);
      const solid = promised === null ? from : promised >= end ? to : Math.max(from, x(promised));
      outline(context, palette.faint, from, top + BAR, solid - from, HEIGHT);
      context.fillStyle = isOver ? palette.ended : palette.live;
      context.fillRect(solid, top + BAR, to - solid, HEIGHT);
      if (life.state === 'spilled' && !isOver) {
        const spilled = Math.max(from, x(spilledAt(life)));
        context.fillStyle = palette.spilled;
        context.fillRect(spilled, top + BAR, to - spilled, HEIGHT);
        stripes(context, palette.background, spilled, top + BAR, to - spilled, HEIGHT);
      }
      if (life.id === this.selectedId) {
        context.strokeStyle = palette.text;
        context.strokeRect(from + 0.5, top + BAR + 0.5, to - from - 1, HEIGHT - 1);
      }
    }
    // Without a name, and still read: thin, for the name may mean another one meanwhile.
    const gone = life.gone ?? now;
    if (isOver && gone > end && gone >= since) {
      context.fillStyle = palette.held;
      context.fillRect(x(end), top + BAR + HEIGHT + 1, Math.max(2, x(gone) - x(end)), 3);
    }
  }

  /** As much of a name as there is room for. */
  private fit(
    context: CanvasRenderingContext2D,
    name: string,
    width: number,
    isBold: boolean
  ): string {
    const key = `${width} ${isBold} ${name}`;
    let text = this.fitted.get(key);
    if (text === undefined) {
      text = name;
      while (text.length > 1 && context.measureText(text).width > width) {
        text = `${text.slice(0, -2)}…`;
      }
      if (this.fitted.size > 5000) {
        this.fitted.clear();
      }
      this.fitted.set(key, text);
    }
    return text;
  }

  private describe(now: number): void {
    const last = lastOf(this.model.events);
    const latest = last
      ? this.t(
          '; the last event: %1 %2, %3 ago',
          last.kind,
          visible(last.name),
          formatAge(now - last.time)
        )
      : '';
    const shown = objectsText(this.tracks.length, this.t);
    const text = this.t('%1 in the last %2', shown, formatAge(this.span)) + latest;
    this.canvas.setAttribute('aria-label', text);
  }

  // --- the pointer -----------------------------------------------------------------------------------------------

  private pointed(event: MouseEvent): void {
    const found = this.under(event);
    const title = found ? this.explain(found.life, found.mark) : '';
    if (this.canvas.title !== title) {
      this.canvas.title = title;
    }
    this.canvas.style.cursor = found && this.model.objects.has(found.life.id) ? 'pointer' : '';
  }

  private clicked(event: MouseEvent): void {
    const found = this.under(event);
    if (found && this.model.objects.has(found.life.id)) {
      this.selected(found.life.id);
    }
  }

  private under(event: MouseEvent): { life: Life; mark: Mark | null } | null {
    const track = this.tracks[Math.floor((event.offsetY + this.node.scrollTop) / TRACK)];
    if (!track || event.offsetY > this.node.clientHeight - AXIS) {
      return null;
    }
    const now = this.model.now();
    const left = this.labels();
    const width = this.node.clientWidth - left - EDGE;
    const last = lastOf(track.lives);
    if (last && event.offsetX < left) {
      return { life: last, mark: null };
    }
    const x = (time: number | null): number => left + place(time, now, this.span) * width;
    for (const life of track.lives) {
      const mark = life.marks.find(one => Math.abs(x(one.time) - event.offsetX) <= NEAR);
      if (mark) {
        return { life, mark };
      }
    }
    const life = track.lives.find(
      one => x(one.start) - 2 <= event.offsetX && event.offsetX <= x(one.gone ?? one.end ?? now) + 2
    );
    return life ? { life, mark: null } : null;
  }

  private explain(life: Life, mark: Mark | null): string {
    const { t } = this;
    const at = (time: number): string => new Date(time * 1000).toLocaleTimeString();
    const promised = promisedUntil(life);
    const version = life.name && life.version ? ` ${t('version %1', life.version)}` : '';
    const size = life.nbytes ? `, ${formatSize(life.nbytes)}` : '';
    const lines = [`${displayName(life, t)}${version}${size}`];
    if (mark) {
      lines.push(`${mark.kind} ${at(mark.time)}${mark.who ? `, ${visible(mark.who)}` : ''}`);
    }
    lines.push(
      life.start === null
        ? t('published longer ago than is remembered')
        : promised === null
          ? t('published %1, %2', at(life.start), visible(life.owner))
          : t('promised %1, %2', at(life.start), visible(life.owner))
    );
    if (life.made !== null) {
      lines.push(t('made %1', at(life.made)));
    }
    if (life.end !== null) {
      lines.push(t('its name ended %1', at(life.end)));
      if (life.gone === null) {
        lines.push(t('still read'));
      }
    }
    return lines.join('\n');
  }
}

/** Until when an object was only promised, which may be for ever; `null`: it never was. */
export function promisedUntil(life: Life): number | null {
  return life.state === 'pending' || life.state === 'lost' ? (life.end ?? Infinity) : life.made;
}

/** Since when an object has been on disk; `null`: longer than anybody remembers. */
export function spilledAt(life: Life): number | null {
  return life.marks.filter(mark => mark.kind === 'spill').pop()?.time ?? null;
}
