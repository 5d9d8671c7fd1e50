/** What a timeline draws on its canvas: colours, and a sign for each kind of event, told apart by shape. */

import type { Mark } from './lives';

/** The colours of the theme. */
export interface Palette {
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly stripe: string;
  readonly live: string;
  readonly spilled: string;
  readonly held: string;
  readonly ended: string;
  readonly danger: string;
  readonly background: string;
  readonly font: string;
}

/** The colours that the style sheet gives an element. */
export function paletteOf(node: Element): Palette {
  const style = getComputedStyle(node);
  const get = (name: string): string => style.getPropertyValue(`--jp-shm-${name}`).trim();
  return {
    text: get('text'),
    faint: get('faint'),
    line: get('line'),
    stripe: get('stripe'),
    live: get('live'),
    spilled: get('spilled'),
    held: get('held'),
    ended: get('ended'),
    danger: get('danger'),
    background: get('background'),
    font: `11px ${style.fontFamily}`
  };
}

/** A bar of which nothing is there yet. */
export function outline(
  context: CanvasRenderingContext2D,
  colour: string,
  x: number,
  y: number,
  width: number,
  height: number
): void {
  if (width < 1) {
    return;
  }
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash([3, 2]);
  context.strokeRect(x + 0.5, y + 0.5, Math.max(1, width - 1), height - 1);
  context.restore();
}

/** Oblique lines over a bar: on disk. */
export function stripes(
  context: CanvasRenderingContext2D,
  colour: string,
  x: number,
  y: number,
  width: number,
  height: number
): void {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  for (let at = x - height; at < x + width; at += 6) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

/** A sign for each kind of event: told apart by shape, not by colour alone. */
export function drawMark(
  context: CanvasRenderingContext2D,
  palette: Palette,
  mark: Mark,
  x: number,
  y: number
): void {
  context.lineWidth = 1.5;
  context.strokeStyle = palette.text;
  context.fillStyle = palette.background;
  context.beginPath();
  if (mark.kind === 'overwrite') {
    context.moveTo(x, y - 6);
    context.lineTo(x + 4, y);
    context.lineTo(x, y + 6);
    context.lineTo(x - 4, y);
    context.closePath();
    context.fill();
  } else if (mark.kind === 'spill') {
    context.moveTo(x - 4.5, y - 4);
    context.lineTo(x + 4.5, y - 4);
    context.lineTo(x, y + 4.5);
    context.closePath();
    context.fill();
  } else if (mark.kind === 'expire') {
    context.rect(x - 3.5, y - 3.5, 7, 7);
    context.fill();
  } else if (mark.kind === 'delete' || mark.kind === 'death') {
    context.strokeStyle = palette.danger;
    context.lineWidth = 2;
    context.moveTo(x - 4, y - 4);
    context.lineTo(x + 4, y + 4);
    context.moveTo(x + 4, y - 4);
    context.lineTo(x - 4, y + 4);
  } else {
    context.arc(x, y, 3, 0, 2 * Math.PI);
    context.fill();
  }
  context.stroke();
}
