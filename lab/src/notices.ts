/** What the user should be told about, found by comparing what the service said before with what it says now. */

import { formatDuration, formatTime } from './formatting';
import { IOwnRole, ISession, SYSTEM } from './session';

export interface INotice {
  /** The same notice is shown once. */
  key: string;
  kind: 'success' | 'warning' | 'error' | 'info';
  message: string;
  /** The role that a button asks for again. */
  role?: { role: string; scope: string };
}

/** A role is announced to end this many seconds before. */
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
          : `Your request was approved: ${what}${until}.${comment} Your notebooks have it already.`;
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
    ...(sameSession && before.project === session.project ? findEndedRoles(before, session) : [])
  ];
}
