import { CommandRegistry } from '@lumino/commands';

import { IRequestedRole } from './service_client';

export const CommandIDs = {
  openAccess: 'aizen:open-access',
  openMyAccess: 'aizen:open-my-access',
  requestAccess: 'aizen:request-access',
  switchProject: 'aizen:switch-project',
  attachJob: 'aizen:attach-job',
  stopJob: 'aizen:stop-job',
  startAgain: 'aizen:start-again'
};

/** What buttons do: each is a command, so that the palette, the keyboard and other extensions have it too. */
export class Actions {
  constructor(private readonly commands: CommandRegistry) {}

  requestAccess(prefill: Partial<IRequestedRole> = {}): void {
    void this.commands.execute(CommandIDs.requestAccess, { ...prefill });
  }

  switchProject(): void {
    void this.commands.execute(CommandIDs.switchProject);
  }

  openAccess(): void {
    void this.commands.execute(CommandIDs.openAccess);
  }

  /** Opens the page of the hub that starts servers. */
  startAgain(): void {
    void this.commands.execute(CommandIDs.startAgain);
  }

  /** Loads the page again, with a new login; JupyterLab asks first if something is not saved. */
  reloadPage(): void {
    window.location.reload();
  }

  stopJob(id: string): void {
    void this.commands.execute(CommandIDs.stopJob, { id });
  }
}
