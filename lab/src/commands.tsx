import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, ICommandPalette, InputDialog, Notification, showDialog } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';

import { CommandIDs } from './actions';
import { formatPercent, shortenId } from './formatting';
import { accessIcon } from './icons';
import { openHub, openPanel } from './panel_links';
import { askForRequest } from './request_dialog';
import { ProblemError } from './service_client';
import { IJob, SYSTEM } from './session';
import { SessionModel } from './session_model';

const CATEGORY = 'Aizen';
const UNTIL_CLOSED = { autoClose: false } as const;
const FOR_A_MOMENT = { autoClose: 6_000 } as const;

/** JupyterLab cuts the text of a notification after so many characters, and what helps comes last. */
const MAX_NOTIFICATION_LENGTH = 140;

async function showProblem(error: ProblemError): Promise<void> {
  if (error.sentences.length <= MAX_NOTIFICATION_LENGTH) {
    Notification.error(error.sentences, UNTIL_CLOSED);
  } else {
    await showDialog({ title: error.problem.title, body: error.sentences, buttons: [Dialog.okButton()] });
  }
}

/** Runs an action of the user and says what failed; returns whether it succeeded. */
async function reporting(action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof ProblemError)) {
      throw error; // one of this program
    }
    await showProblem(error);
    return false;
  }
}

function describeJob(job: IJob): string {
  const progress = job.fraction === null ? job.state : formatPercent(job.fraction);
  return `${job.line} (${progress}, ${shortenId(job.id)})`;
}

async function requestAccess(model: SessionModel, args: Record<string, unknown>): Promise<void> {
  const text = (name: string): string => (typeof args[name] === 'string' ? (args[name] as string) : '');
  const roles = await model.client.listRoles();
  let prefill = { role: text('role'), scope: text('scope'), reason: text('reason') };
  for (;;) {
    const request = await askForRequest(prefill, model.session, roles, () => model.now);
    if (request === null) {
      return;
    }
    if (request.role === '' || request.scope === '') {
      Notification.warning('Choose a role and a project.', FOR_A_MOMENT);
    } else if (await reporting(() => model.client.requestRole(request))) {
      const where = request.scope === SYSTEM ? '' : ` in ${request.scope}`;
      Notification.success(
        `Your request for ${request.role}${where} was sent. You are told here when it is decided.`,
        FOR_A_MOMENT
      );
      await model.refresh();
      return;
    }
    prefill = { ...prefill, ...request }; // nothing that was typed is lost
  }
}

async function switchProject(model: SessionModel): Promise<void> {
  const projects = (await model.client.listProjects()).filter(project => project.name !== model.session?.project);
  if (projects.length === 0) {
    Notification.info('You have no role in another project. Ask for access to one.', FOR_A_MOMENT);
    return;
  }
  const result = await InputDialog.getItem({
    title: 'Switch project',
    label: 'Commands of every notebook of this server then count in this project. Running jobs go on.',
    items: projects.map(project => project.name),
    okLabel: 'Switch'
  });
  if (!result.button.accept || result.value === null) {
    return;
  }
  await model.client.switchProject(result.value);
  await model.refresh();
  Notification.success(`The project of this server is ${result.value}.`, FOR_A_MOMENT);
}

async function stopJob(model: SessionModel, id: unknown): Promise<void> {
  const job = typeof id === 'string' ? model.findJob(id) : undefined;
  if (job === undefined) {
    Notification.warning('You have no such job.', FOR_A_MOMENT);
    return;
  }
  const result = await showDialog({
    title: 'Stop this job?',
    body: describeJob(job),
    buttons: [Dialog.cancelButton({ label: 'Let it run' }), Dialog.warnButton({ label: 'Stop it' })]
  });
  if (!result.button.accept) {
    return;
  }
  await model.client.stopJob(job.id);
  await model.refresh();
}

async function attachJob(app: JupyterFrontEnd, model: SessionModel): Promise<void> {
  await model.refresh();
  const running = model.jobs.filter(job => job.state === 'running');
  if (running.length === 0) {
    Notification.info('None of your jobs is running.', FOR_A_MOMENT);
    return;
  }
  const items = running.map(describeJob);
  const result =
    items.length === 1
      ? { button: { accept: true }, value: items[0] }
      : await InputDialog.getItem({ title: 'Attach to a job', items });
  const job = running[items.indexOf(result.value ?? '')];
  if (!result.button.accept || job === undefined) {
    return;
  }
  const { commands } = app;
  if (commands.hasCommand('notebook:insert-cell-below') && commands.isEnabled('notebook:insert-cell-below')) {
    await commands.execute('notebook:insert-cell-below');
    await commands.execute('notebook:replace-selection', { text: `%aizen attach ${shortenId(job.id)}` });
    await commands.execute('notebook:run-cell');
  } else {
    await commands.execute(CommandIDs.openAccess);
  }
}

/** Adds the commands, and their entries in palette and launcher. */
export function addCommands(
  app: JupyterFrontEnd,
  model: SessionModel,
  palette: ICommandPalette | null,
  launcher: ILauncher | null
): void {
  const { commands } = app;
  commands.addCommand(CommandIDs.openAccess, {
    label: 'Access',
    caption: 'Your roles, jobs and requests in this project',
    icon: accessIcon,
    execute: () => app.shell.activateById('aizen-access')
  });
  commands.addCommand(CommandIDs.openMyAccess, {
    label: 'My Access',
    caption: 'Your roles in all projects, in the panel',
    icon: accessIcon,
    isEnabled: () => model.panel !== '',
    execute: () => openPanel(model.panel, 'me')
  });
  commands.addCommand(CommandIDs.requestAccess, {
    label: 'Request Access…',
    caption: 'Ask those who can give a role',
    icon: accessIcon,
    execute: args => reporting(() => requestAccess(model, args))
  });
  commands.addCommand(CommandIDs.switchProject, {
    label: 'Switch Project…',
    caption: 'Make another project the one of this server',
    icon: accessIcon,
    execute: () => reporting(() => switchProject(model))
  });
  commands.addCommand(CommandIDs.attachJob, {
    label: 'Attach to Job…',
    caption: 'Follow a running job in this notebook',
    icon: accessIcon,
    execute: () => reporting(() => attachJob(app, model))
  });
  commands.addCommand(CommandIDs.stopJob, {
    label: 'Stop Job…',
    execute: args => reporting(() => stopJob(model, args.id))
  });
  commands.addCommand(CommandIDs.startAgain, {
    label: 'Start Server Again…',
    caption: 'The page of the hub that stops and starts your servers',
    icon: accessIcon,
    execute: () => openHub()
  });
  const offered = [
    CommandIDs.switchProject,
    CommandIDs.openMyAccess,
    CommandIDs.requestAccess,
    CommandIDs.attachJob
  ];
  const inPalette = [CommandIDs.openAccess, CommandIDs.startAgain, ...offered];
  inPalette.forEach(command => palette?.addItem({ command, category: CATEGORY }));
  offered.forEach((command, rank) => launcher?.add({ command, category: CATEGORY, rank }));
}
