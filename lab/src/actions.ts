import { CommandRegistry } from '@lumino/commands';

import { IRequestedRole } from './service_client';

export const CommandIDs = {
  openAccess: 'aizen:open-access',
  openMyAccess: 'aizen:open-my-access',
  requestAccess: 'aizen:request-access',
  switchProject: 'aizen:switch-project',
  attachJob: 'aizen:attach-job',
  stopJob: 'aizen:stop-job'
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

  stopJob(id: string): void {
    void this.commands.execute(CommandIDs.stopJob, { id });
  }
}
