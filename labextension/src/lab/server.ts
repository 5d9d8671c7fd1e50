/** The Jupyter server as JupyterLab knows it: addresses, tokens and cookies. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Server } from './connection';

/** A server, by its settings. */
export function serverOf(settings: ServerConnection.ISettings): Server {
  return {
    request: (path, init) =>
      ServerConnection.makeRequest(URLExt.join(settings.baseUrl, path), init, settings),
    open: path => {
      const { WebSocket, wsUrl, token, appendToken } = settings;
      const query = appendToken && token ? `?token=${encodeURIComponent(token)}` : '';
      return new WebSocket(URLExt.join(wsUrl, path) + query);
    }
  };
}
