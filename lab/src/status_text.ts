/** What the status item says. */

import { formatDuration, formatPercent } from './formatting';
import { ENDS_SOON_SECONDS, secondsUntilStop } from './notices';
import { isFinal, Outlook } from './problems';
import { IJob, ISession } from './session';

const SHOWN_BEFORE_SECONDS = 86_400;

const OVER: Partial<Record<Outlook, string>> = {
  ended: 'session ended',
  stopped: 'server stopped',
  'signed-out': 'reload the page'
};

/** What of `SessionModel` the status item says. */
export interface IStatus {
  session: ISession | null;
  jobs: readonly IJob[];
  outlook: Outlook | null;
  secondsLeft(secondsAtReading: number | null): number | null;
}

function describeRoles(session: ISession, status: IStatus): string {
  const roles = session.roles
    .filter(role => role.state === 'effective' && (session.project === null || role.scope === session.project))
    .map(role => ({ name: role.role, left: status.secondsLeft(role.seconds_left) ?? Infinity }))
    .filter(role => role.left > 0)
    .sort((one, other) => one.left - other.left);
  const project = session.project ?? 'no project';
  if (roles.length === 0) {
    return session.project === null ? project : `${project} · no role`;
  }
  const [first] = roles;
  const left = first.left <= SHOWN_BEFORE_SECONDS ? `, ${formatDuration(first.left)} left` : '';
  const more = roles.length > 1 ? ` +${roles.length - 1}` : '';
  return `${project} · ${first.name}${left}${more}`;
}

/** Returns project, role and the time left of the role that ends first, and that the session is about to stop. */
export function describeStatus(status: IStatus): string {
  const { session, outlook } = status;
  if (outlook !== null && outlook in OVER) {
    return OVER[outlook] as string;
  }
  if (session === null) {
    return outlook === null ? '…' : 'access unknown';
  }
  const roles = describeRoles(session, status);
  const left = status.secondsLeft(secondsUntilStop(session));
  const isStopping = left !== null && left > 0 && left <= ENDS_SOON_SECONDS;
  return isStopping ? `${roles} · session stops in ${formatDuration(left)}` : roles;
}

/** Returns how many jobs run, and how far the only one is; nothing if none runs. */
export function describeJobs(status: IStatus): string {
  const running = status.jobs.filter(job => job.state === 'running');
  if (running.length === 0 || isFinal(status.outlook)) {
    return '';
  }
  const fraction = running.length === 1 ? running[0].fraction : null;
  return `${running.length} job${running.length > 1 ? 's' : ''}${fraction === null ? '' : `, ${formatPercent(fraction)}`}`;
}
