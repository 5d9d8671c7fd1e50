/** The item of the status bar: how much of the store is used, in a warning colour and in words when it is nearly full. */

import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { formatSize, usageText, type Model, type Translate } from '../view';

export class StatusItem extends Widget {
  /**
   * @param model What is shown.
   * @param open Called when somebody wants to see more.
   * @param t Texts.
   */
  constructor(
    private readonly model: Model,
    open: () => void,
    private readonly t: Translate
  ) {
    super();
    this.addClass('jp-ShmStatus');
    this.node.setAttribute('role', 'button');
    this.node.tabIndex = 0;
    this.node.addEventListener('click', open);
    this.node.addEventListener('keydown', event => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        open();
      }
    });
    this.forget = model.changed(() => this.update());
    this.draw();
  }

  /** Whether there is anything to show. */
  get isActive(): boolean {
    return this.model.usage !== null;
  }

  /** Tells that this has changed. */
  get activeChanged(): ISignal<StatusItem, void> {
    return this.activity;
  }

  override dispose(): void {
    this.forget();
    super.dispose();
  }

  protected override onUpdateRequest(): void {
    this.draw();
  }

  private draw(): void {
    const { usage } = this.model;
    if (this.wasActive !== this.isActive) {
      this.wasActive = this.isActive;
      this.activity.emit();
    }
    const isFull = usage?.is_nearly_full ?? false;
    this.toggleClass('jp-mod-warn', isFull);
    if (!usage) {
      return;
    }
    const [used, capacity] = [formatSize(usage.used + usage.reserved), formatSize(usage.capacity)];
    const text = this.t('shm %1 of %2', used, capacity);
    const shown = isFull ? `${text} · ${this.t('nearly full')}` : text;
    if (this.node.textContent !== shown) {
      this.node.textContent = shown;
      this.node.title = `${usageText(usage)}\n${this.t('Show the shared memory')}`;
      this.node.setAttribute('aria-label', `${shown}. ${this.t('Show the shared memory')}`);
    }
  }

  private readonly activity = new Signal<StatusItem, void>(this);
  private readonly forget: () => void;
  private wasActive = false;
}
