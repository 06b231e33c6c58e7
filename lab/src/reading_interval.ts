/** How often the session is read. */

import { IJob, ISession } from './session';

const IDLE_MS = 20_000;
const WAITING_MS = 5_000;
const RUNNING_MS = 2_000;
const SHORTEST_MS = 1_000;

/** While readings fail, each waits longer than the one before, and none longer than this. */
export const MAX_BACKOFF_MS = 120_000;

export const FIRST_INTERVAL_MS = IDLE_MS;

/** Returns the milliseconds until the next reading: soon while something is about to change. */
export function nextInterval(session: ISession, jobs: readonly IJob[]): number {
  if (jobs.some(job => job.state === 'running')) {
    return RUNNING_MS;
  }
  const usual = session.requests.some(request => request.state === 'waiting') ? WAITING_MS : IDLE_MS;
  const ends = session.roles.flatMap(role => (role.seconds_left === null ? [] : [role.seconds_left]));
  // The reading after an end shows it at once.
  return Math.max(SHORTEST_MS, Math.min(usual, ...ends.map(seconds => 1000 * seconds + 500)));
}
