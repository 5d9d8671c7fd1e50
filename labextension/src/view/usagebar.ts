/** The bar that shows what the capacity is used for. */

import { element, say } from './dom';
import { clientsText, formatSize, objectsText, usageText, type Translate } from './formatting';
import type { Usage } from './messages';

interface Part {
  readonly key: string;
  readonly label: string;
  readonly title: string;
  readonly size: (usage: Usage) => number;
  /** It is on disk, and no part of the bar. */
  readonly isBeside?: boolean;
}

function parts(t: Translate): Part[] {
  return [
    {
      key: 'used',
      label: t('used'),
      title: t('Memory of published objects'),
      size: usage => usage.used - usage.held
    },
    {
      key: 'held',
      label: t('held'),
      title: t('Memory of deleted or replaced objects that somebody still reads'),
      size: usage => usage.held
    },
    {
      key: 'reserved',
      label: t('reserved'),
      title: t('Memory that is being filled'),
      size: usage => usage.reserved
    },
    {
      key: 'reserve',
      label: t('reserve'),
      title: t('Free memory that is kept warm for the next puts; given up before one is refused'),
      size: usage => Math.min(usage.reserve, usage.free)
    },
    {
      key: 'free',
      label: t('free'),
      title: t('What may still be put'),
      size: usage => usage.free
    },
    {
      key: 'spilled',
      label: t('spilled'),
      title: t('Bytes of objects that had to leave memory; on disk'),
      size: usage => usage.spilled,
      isBeside: true
    }
  ];
}

/** The usage bar with its legend. */
export class UsageBar {
  readonly node = element('section', 'jp-Shm-usage');
  private readonly text = element('span', 'jp-Shm-usageText');
  private readonly counts = element('span', 'jp-Shm-usageCounts');
  private readonly bar = element('div', 'jp-Shm-bar');
  private readonly segments = new Map<string, HTMLElement>();
  private readonly amounts = new Map<string, HTMLElement>();
  private readonly parts: Part[];

  constructor(private readonly t: Translate) {
    this.parts = parts(t);
    const head = element('div', 'jp-Shm-usageHead');
    head.append(this.text, this.counts);
    this.bar.setAttribute('role', 'meter');
    this.bar.setAttribute('aria-label', t('Shared memory'));
    this.bar.setAttribute('aria-valuemin', '0');
    const legend = element('ul', 'jp-Shm-legend');
    for (const part of this.parts) {
      if (!part.isBeside) {
        const segment = element('span', `jp-Shm-segment jp-mod-${part.key}`);
        this.segments.set(part.key, segment);
        this.bar.append(segment);
      }
      const entry = element('li', 'jp-Shm-legendEntry');
      entry.title = part.title;
      const amount = element('span', 'jp-Shm-amount');
      entry.append(element('span', `jp-Shm-swatch jp-mod-${part.key}`), `${part.label} `, amount);
      this.amounts.set(part.key, amount);
      legend.append(entry);
    }
    this.node.append(head, this.bar, legend);
  }

  /** Show the accounts; `null`: there are none. */
  update(usage: Usage | null): void {
    this.node.hidden = usage === null;
    if (usage === null) {
      return;
    }
    const { t } = this;
    const taken = usage.used + usage.reserved;
    const share = usage.capacity ? Math.round((100 * taken) / usage.capacity) : 0;
    say(this.text, t('%1 used (%2 %)', usageText(usage, t), share));
    say(
      this.counts,
      t('%1, %2', objectsText(usage.objects, t), clientsText(usage.clients, t)),
      t('Store: pid %1, jupyter_shm %2, Python %3', usage.pid, usage.version, usage.python)
    );
    this.node.classList.toggle('jp-mod-warn', usage.is_nearly_full);
    this.bar.setAttribute('aria-valuemax', String(usage.capacity));
    this.bar.setAttribute('aria-valuenow', String(taken));
    const told = this.text.textContent ?? '';
    this.bar.setAttribute(
      'aria-valuetext',
      usage.is_nearly_full ? t('%1: nearly full', told) : told
    );
    for (const part of this.parts) {
      this.show(part, part.size(usage), usage);
    }
  }

  private show(part: Part, size: number, usage: Usage): void {
    const segment = this.segments.get(part.key);
    const amount = this.amounts.get(part.key);
    if (segment) {
      // The reserve is a part of what is free.
      const shown = part.key === 'free' ? size - Math.min(usage.reserve, size) : size;
      segment.style.flexGrow = String(Math.max(0, shown));
      segment.classList.toggle('jp-mod-some', shown > 0);
      segment.title = `${part.label}: ${formatSize(size)}`;
    }
    if (amount?.parentElement) {
      say(amount, formatSize(size));
      // Nothing held, reserved or spilled: nothing to say.
      amount.parentElement.hidden = !size && part.key !== 'used' && part.key !== 'free';
      if (part.key === 'spilled' && usage.spill_reason) {
        amount.parentElement.title = `${part.title}. ${usage.spill_reason}`;
      }
    }
  }
}
