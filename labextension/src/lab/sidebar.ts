/** The sidebar: a place for the view, which looks only while it can be seen. */

import { LabIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { mountView, type Host, type Translate, type View } from '../view';
import type { Connection } from './connection';

/** Three bars of one block: objects in memory that all share. */
export const shmIcon = new LabIcon({
  name: 'jupyter-shm:icon',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<g class="jp-icon3" fill="#616161">' +
    '<path d="M3 3h18v5H3zM3 10h11v5H3zM3 17h7v4H3z"/><path d="M16 10h5v5h-5zM12 17h9v4h-9z" opacity=".45"/>' +
    '</g></svg>'
});

export class Sidebar extends Widget {
  constructor(
    private readonly connection: Connection,
    private readonly host: Host,
    private readonly t: Translate
  ) {
    super();
    this.id = 'jupyter-shm-sidebar';
    this.addClass('jp-ShmSidebar');
    this.title.icon = shmIcon;
    this.title.caption = t('Shared memory');
  }

  override dispose(): void {
    this.looking?.();
    this.view?.dispose();
    super.dispose();
  }

  /** Let the keyboard work in the table. */
  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.view?.focus();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.start();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      this.start();
    }
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.stop();
  }

  protected override onBeforeDetach(message: Message): void {
    super.onBeforeDetach(message);
    this.stop();
  }

  private start(): void {
    this.looking ??= this.connection.look();
    this.view ??= mountView(this.node, this.connection.model, this.host, { translate: this.t });
  }

  private stop(): void {
    this.looking?.();
    this.looking = null;
  }

  private looking: (() => void) | null = null;
  private view: View | null = null;
}
