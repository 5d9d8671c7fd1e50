/** Previews, drawn from numbers and text. */

import { element } from './dom';
import type { ImageLook, LineLook, Look, TableLook } from './messages';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 64;

/** Pixels of a picture's longer side on the page. */
const PICTURE = 192;

/** Draw what was found. */
export function drawLook(look: Look): HTMLElement {
  const node = element('figure', `jp-Shm-look jp-mod-${look.kind}`);
  if (look.kind === 'table') {
    node.append(table(look));
  } else if (look.kind === 'line') {
    node.append(line(look), element('div', 'jp-Shm-first', `${look.first.join(', ')}, …`));
  } else if (look.kind === 'image') {
    node.append(picture(look));
  } else {
    node.append(element('pre', 'jp-Shm-text', look.text));
  }
  const range = 'low' in look && look.low ? `${look.low} … ${look.high}` : '';
  const caption = [range, look.note].filter(text => text).join('; ');
  if (caption) {
    node.append(element('figcaption', 'jp-Shm-note', caption));
  }
  return node;
}

function table(look: TableLook): HTMLElement {
  const node = element('table', 'jp-Shm-lookTable');
  const head = element('tr');
  head.append(element('td'), ...look.columns.map(text => heading(text, 'col')));
  const rows = look.rows.map((row, at) => {
    const made = element('tr');
    made.append(heading(look.index[at] ?? '', 'row'), ...row.map(text => element('td', '', text)));
    return made;
  });
  node.append(head, ...rows);
  const scroll = element('div', 'jp-Shm-lookScroll');
  scroll.tabIndex = 0;
  scroll.append(node);
  return scroll;
}

function heading(text: string, scope: 'col' | 'row'): HTMLElement {
  const cell = element('th', '', text);
  cell.scope = scope;
  return cell;
}

/** The path of a line through values at even distances; what is no number leaves a gap. */
export function linePath(
  values: readonly (number | null)[],
  width: number,
  height: number
): string {
  const numbers = values.filter(value => value !== null);
  const low = numbers.reduce((a, b) => Math.min(a, b), Infinity);
  const high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  const step = width / Math.max(1, values.length - 1);
  let path = '';
  let isDown = false;
  values.forEach((value, at) => {
    if (value === null) {
      isDown = false;
      return;
    }
    // Halved: the difference of two numbers need not be one.
    const share = high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0.5;
    path += `${isDown ? 'L' : 'M'}${(at * step).toFixed(1)} ${(height * (1 - share)).toFixed(1)}`;
    isDown = true;
  });
  return path;
}

function line(look: LineLook): SVGElement {
  const node = document.createElementNS(SVG, 'svg');
  node.setAttribute('viewBox', `-1 -2 ${WIDTH + 2} ${HEIGHT + 4}`);
  node.setAttribute('preserveAspectRatio', 'none');
  node.setAttribute('class', 'jp-Shm-line');
  node.setAttribute('role', 'img');
  node.setAttribute('aria-label', `${look.low} … ${look.high}`);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', linePath(look.values, WIDTH, HEIGHT));
  path.setAttribute('vector-effect', 'non-scaling-stroke');
  node.append(path);
  return node;
}

function picture(look: ImageLook): HTMLElement {
  const node = element('canvas', 'jp-Shm-picture');
  const bytes = Uint8ClampedArray.from(atob(look.pixels), letter => letter.charCodeAt(0));
  node.width = look.width;
  node.height = look.height;
  node.setAttribute('role', 'img');
  node.setAttribute('aria-label', `${look.width} × ${look.height}`);
  const scale = PICTURE / Math.max(look.width, look.height);
  node.style.width = `${Math.max(1, Math.round(look.width * scale))}px`;
  if (bytes.length === 4 * look.width * look.height) {
    node.getContext('2d')?.putImageData(new ImageData(bytes, look.width, look.height), 0, 0);
  }
  return node;
}
