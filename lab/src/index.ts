import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IStatusBar } from '@jupyterlab/statusbar';
import React from 'react';

import { AccessPanel } from './access_panel';
import { Actions, CommandIDs } from './actions';
import { addCommands } from './commands';
import { LocalMemory } from './local_memory';
import { NoticeHistory } from './notice_history';
import { INotice } from './notices';
import { JOB_MIME, JobView } from './outputs/job';
import { outputFactory } from './outputs/output_renderer';
import { REFUSAL_MIME, RefusalView } from './outputs/refusal';
import { ServiceClient } from './service_client';
import { SessionModel } from './session_model';
import { StatusItem } from './status_item';

/** Before HTML (60), which front ends without this extension show. */
const OUTPUT_RANK = 20;

/** Returns the callback of a button that does not dismiss its notice. */
function keepOpen(action: () => void): (event: MouseEvent) => void {
  return event => {
    event.preventDefault();
    action();
  };
}

function showNotice(notice: INotice, actions: Actions): void {
  const { role } = notice;
  const buttons: Notification.IAction[] = [];
  if (role) {
    buttons.push({
      label: 'Ask again…',
      callback: () => actions.requestAccess({ role: role.role, scope: role.scope })
    });
  }
  if (notice.isExplained) {
    buttons.push({ label: 'Why?', callback: keepOpen(() => actions.openAccess()) });
  }
  if (notice.startsAgain) {
    buttons.push({ label: 'Start again…', callback: keepOpen(() => actions.startAgain()) });
  }
  if (notice.reloads) {
    buttons.push({ label: 'Reload', callback: keepOpen(() => actions.reloadPage()) });
  }
  Notification.emit(notice.message, notice.kind, { autoClose: false, actions: buttons });
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'aizen-lab:access',
  description: 'Access of this session: status, panel, notifications, commands, and outputs with buttons.',
  autoStart: true,
  optional: [IRenderMimeRegistry, IStatusBar, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    // Only servers that aizen-hub started have a session.
    if (PageConfig.getOption('aizen') !== 'true') {
      return;
    }
    const settings = app.serviceManager.serverSettings;
    const history = new NoticeHistory(new LocalMemory(`aizen-lab ${settings.baseUrl}`));
    const model = new SessionModel(new ServiceClient(settings), history);
    const actions = new Actions(app.commands);
    addCommands(app, model, palette, launcher);
    app.shell.add(new AccessPanel(model, actions), 'right', { rank: 300, type: 'Access' });
    const statusItem = new StatusItem(model, () => void app.commands.execute(CommandIDs.openAccess));
    if (statusBar !== null) {
      statusBar.registerStatusItem('aizen-lab:status', { item: statusItem, align: 'left', rank: 10 });
    } else {
      // Notebook 7 has no status bar; the right end of its menu holds such items.
      statusItem.id = 'aizen-status';
      app.shell.add(statusItem, 'menu', { rank: 10_500 });
    }
    rendermime?.addFactory(
      outputFactory(REFUSAL_MIME, fields => React.createElement(RefusalView, { fields, model, actions })),
      OUTPUT_RANK
    );
    rendermime?.addFactory(
      outputFactory(JOB_MIME, fields => React.createElement(JobView, { fields, model, actions })),
      OUTPUT_RANK
    );
    model.noticed.connect((_, notice) => showNotice(notice, actions));
  }
};

export default plugin;
