/** What the user should be told about, found by comparing what the service said before with what it says now. */

import { formatDuration, formatTime } from './formatting';
import { describeProblem, Outlook } from './problems';
import { IOwnRole, IProblem, ISession, SYSTEM } from './session';

export interface INotice {
  /** The same notice is shown once. */
  key: string;
  kind: 'success' | 'warning' | 'error' | 'info';
  /** JupyterLab cuts it after 140 characters: what helps comes first, texts of others last. */
  message: string;
  /** The role that a button asks for again. */
  role?: { role: string; scope: string };
  /** A button opens *Access*, which says why. */
  isExplained?: boolean;
  /** A button leads to the hub, where servers are started. */
  startsAgain?: boolean;
  /** A button reloads the page. */
  reloads?: boolean;
}

/** The end of a role or of the session is announced this many seconds before. */
export const ENDS_SOON_SECONDS = 600;

function inScope(scope: string): string {
  return scope === SYSTEM ? '' : ` in ${scope}`;
}

function isLastRole(session: ISession, role: IOwnRole): boolean {
  const others = session.roles.filter(
    other =>
      other !== role &&
      other.scope === session.project &&
      other.state === 'effective' &&
      (other.seconds_left === null || (role.seconds_left !== null && other.seconds_left > role.seconds_left))
  );
  return role.scope === session.project && others.length === 0;
}

function findDecidedRequests(waitingBefore: ReadonlySet<string>, session: ISession): INotice[] {
  const notices: INotice[] = [];
  for (const request of session.requests) {
    if (!waitingBefore.has(request.id)) {
      continue;
    }
    const what = `${request.role}${inScope(request.scope)}`;
    const comment = request.comment ? ` “${request.comment}”` : '';
    const key = `request ${request.id} ${request.state}`;
    if (request.state === 'approved') {
      const held = session.roles.find(role => role.role === request.role && role.scope === request.scope);
      const until = held?.ends ? ` until ${formatTime(held.ends)}` : '';
      const message =
        held === undefined
          ? `Your request for ${what} was approved, with other access than you asked for: see your roles.${comment}`
          : `Your request was approved: ${what}${until}. Your notebooks have it already.${comment}`;
      notices.push({ key, kind: 'success', message });
    } else if (request.state === 'denied') {
      notices.push({ key, kind: 'error', message: `Your request was denied: ${what}.${comment}` });
    } else if (request.state === 'expired') {
      notices.push({ key, kind: 'warning', message: `Your request expired without an answer: ${what}.`, role: request });
    }
  }
  return notices;
}

function findEndingRoles(session: ISession): INotice[] {
  const notices: INotice[] = [];
  for (const role of session.roles) {
    const left = role.seconds_left;
    if (role.state !== 'effective' || left === null || left <= 0 || left > ENDS_SOON_SECONDS) {
      continue;
    }
    const last = isLastRole(session, role) ? ` It is your last role in ${role.scope}: save your work.` : '';
    notices.push({
      key: `ending ${role.role} ${role.scope} ${role.ends}`,
      kind: 'warning',
      message: `${role.role}${inScope(role.scope)} ends in ${formatDuration(left)}.${last}`,
      role
    });
  }
  return notices;
}

function findEndedRoles(before: ISession, session: ISession): INotice[] {
  const now = Date.parse(session.at);
  return before.roles
    .filter(role => role.state === 'effective' && role.ends !== null && Date.parse(role.ends) <= now)
    .filter(old => !session.roles.some(role => role.role === old.role && role.scope === old.scope))
    .map(role => ({
      key: `ended ${role.role} ${role.scope} ${role.ends}`,
      kind: 'info',
      message: `${role.role}${inScope(role.scope)} has ended.`,
      role
    }));
}

/** Returns the seconds until the session stops, by the clock of the service; null if it is not about to. */
export function secondsUntilStop(session: ISession): number | null {
  return session.ends_at === null ? null : (Date.parse(session.ends_at) - Date.parse(session.at)) / 1000;
}

function findStoppingSession(session: ISession): INotice[] {
  const left = secondsUntilStop(session);
  if (session.ends_at === null || left === null || left <= 0 || left > ENDS_SOON_SECONDS) {
    return [];
  }
  const reason = session.ends_because ? ` Reason: ${session.ends_because.replace(/`/g, '').replace(/\.$/, '')}.` : '';
  const message = `Your session will stop in ${formatDuration(left)}: save your work.${reason}`;
  return [{ key: `stopping ${session.session?.id} ${session.ends_at}`, kind: 'warning', message, isExplained: true }];
}

/** Returns the notice of a reading that failed; null where the page goes on by itself. */
export function findEndNotice(outlook: Outlook, problem: IProblem): INotice | null {
  const common = { key: `session ${outlook}`, kind: 'error', isExplained: true } as const;
  switch (outlook) {
    case 'ended': {
      const message = 'Your session has ended, and its server may stop soon: save your work, then start again at the hub.';
      return { ...common, message, startsAgain: true };
    }
    case 'stopped':
      return { ...common, message: 'Your server does not run any more: start it again at the hub.', startsAgain: true };
    case 'signed-out':
      return { ...common, message: 'This page is not signed in to your server any more: reload it to go on.', reloads: true };
    case 'locked':
      return { ...common, message: describeProblem(problem) };
    case 'away':
      return null;
  }
}

/**
 * Returns the notices of one reading of the session.
 *
 * @param waitingBefore ids of the requests that were waiting when they were last seen, also before a reload
 */
export function findNotices(
  before: ISession | null,
  session: ISession,
  waitingBefore: ReadonlySet<string>
): INotice[] {
  const sameSession = before !== null && before.session?.id === session.session?.id;
  return [
    ...findDecidedRequests(waitingBefore, session),
    ...findEndingRoles(session),
    ...findStoppingSession(session),
    ...(sameSession && before.project === session.project ? findEndedRoles(before, session) : [])
  ];
}
