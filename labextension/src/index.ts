/** The plugins that JupyterLab and Notebook load: what is shown where, and which commands there are. Wiring only. */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, InputDialog, showErrorMessage } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import { Connection } from './lab/connection';
import { LabHost } from './lab/host';
import { insert } from './lab/notebooks';
import { serverOf } from './lab/server';
import { Sidebar } from './lab/sidebar';
import { StatusItem } from './lab/status';
import { fetchingCode, Model, type Translate } from './view';

/** The way to the server, and what was told. */
export const IConnection = new Token<Connection>(
  'jupyter-shm:IConnection',
  'What the shared-memory store of the server’s machine holds.'
);

/** What can be done by name. */
export const CommandIDs = {
  open: 'jupyter-shm:open',
  refresh: 'jupyter-shm:refresh',
  insert: 'jupyter-shm:insert-get',
  openNotebook: 'jupyter-shm:open-notebook'
} as const;

const SIDEBAR = 'jupyter-shm:plugin';

const connection: JupyterFrontEndPlugin<Connection> = {
  id: 'jupyter-shm:connection',
  description: 'Follows the store while somebody looks.',
  autoStart: true,
  provides: IConnection,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null) => {
    const t = translateBy(translator);
    return new Connection(serverOf(app.serviceManager.serverSettings), new Model(), {
      lost: t('The connection to the server is lost; it is being tried again.'),
      missing: t(
        'This Jupyter server lacks the extension jupyter_shm. Install the package where the server runs, and start it again.'
      )
    });
  }
};

const sidebar: JupyterFrontEndPlugin<void> = {
  id: SIDEBAR,
  description: 'The sidebar with what the store holds, and the commands.',
  autoStart: true,
  requires: [IConnection],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    connection: Connection,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null
  ) => {
    const t = translateBy(translator);
    const host = new LabHost(app, connection, t);
    const panel = new Sidebar(connection, host, t);
    app.shell.add(panel, 'left', { rank: 700, type: 'Shared memory' });
    restorer?.add(panel, panel.id);
    addCommands(app, connection, host, panel, t);
    for (const command of [CommandIDs.open, CommandIDs.insert, CommandIDs.refresh]) {
      palette?.addItem({ command, category: t('Shared memory') });
    }
    void registry?.load(SIDEBAR).then(settings => {
      let shown = 'left';
      const place = (): void => {
        const area = settings.get('area').composite === 'right' ? 'right' : 'left';
        if (area !== shown) {
          shown = area;
          app.shell.add(panel, area, { rank: 700, type: 'Shared memory' });
        }
      };
      settings.changed.connect(place);
      place();
    });
    // A panel in a notebook has no way into the notebook's cells but this.
    document.addEventListener('jupyter-shm:insert', event => {
      const code: unknown =
        event instanceof CustomEvent ? (event.detail as { code?: unknown }).code : null;
      if (typeof code === 'string') {
        event.preventDefault();
        // Without code it only asks whether somebody would take it.
        if (code) {
          void insert(app, code);
        }
      }
    });
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-shm:status',
  description: 'How much of the store is used, in the status bar; Notebook 7 has none.',
  autoStart: true,
  requires: [IConnection],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    connection: Connection,
    bar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    if (!bar) {
      return;
    }
    const open = (): void => void app.commands.execute(CommandIDs.open);
    const item = new StatusItem(connection.model, open, translateBy(translator));
    connection.look(); // as long as the page is there
    bar.registerStatusItem('jupyter-shm:status', {
      item,
      align: 'left',
      rank: 50,
      isActive: () => item.isActive,
      activeStateChanged: item.activeChanged
    });
  }
};

function addCommands(
  app: JupyterFrontEnd,
  connection: Connection,
  host: LabHost,
  panel: Sidebar,
  t: Translate
): void {
  app.commands.addCommand(CommandIDs.open, {
    label: t('Show Shared Memory'),
    caption: t('What the store holds, and who holds that'),
    execute: () => app.shell.activateById(panel.id)
  });
  app.commands.addCommand(CommandIDs.refresh, {
    label: t('Look at the Shared Memory Again'),
    caption: t('Who reads an object is not told by itself'),
    execute: () => connection.refresh()
  });
  app.commands.addCommand(CommandIDs.insert, {
    label: t('Insert %shm_get into the Notebook…'),
    caption: t('Choose a published object, and get it in a cell of its own'),
    execute: async args => {
      const name =
        typeof args['name'] === 'string' ? args['name'] : await chooseName(connection, t);
      if (name !== null) {
        await host.insert(fetchingCode(name)).catch((error: unknown) => {
          void showErrorMessage(
            t('Nothing was inserted'),
            error instanceof Error ? error.message : String(error)
          );
        });
      }
    }
  });
  app.commands.addCommand(CommandIDs.openNotebook, {
    label: t('Open the Notebook That Published It'),
    execute: args => host.openNotebook(String(args['path']))
  });
}

async function chooseName(connection: Connection, t: Translate): Promise<string | null> {
  const ended = connection.look(); // where nothing else looks, it must be found out first
  try {
    await connection.known();
    const published = [...connection.model.objects.values()].filter(
      one => one.name && one.state !== 'held'
    );
    const names = published.map(one => one.name).sort();
    if (!names.length) {
      await showErrorMessage(
        t('Nothing is published'),
        connection.model.fault || t('The store is empty.')
      );
      return null;
    }
    const title = t('Insert %shm_get');
    const chosen = await InputDialog.getItem({
      title,
      label: t('Name'),
      items: names,
      okLabel: t('Insert')
    });
    return chosen.button.accept ? chosen.value : null;
  } finally {
    ended();
  }
}

function translateBy(translator: ITranslator | null): Translate {
  const bundle = (translator ?? nullTranslator).load('jupyter_shm');
  return (text, ...values) => bundle.__(text, ...values.map(String));
}

export default [connection, sidebar, status];
