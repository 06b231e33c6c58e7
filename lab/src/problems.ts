/** What a problem document says to the user, and what it means for the next readings of the session. */

import { IProblem } from './session';

/**
 * - `away`: the service or the way to it does not work at present;
 * - `locked`: session or project are locked, which someone may undo;
 * - `ended`: the session is over, while its server may still run;
 * - `stopped`: the server does not run, so that the hub answers in its place;
 * - `signed-out`: the server does not know the login of this page, as after it was started again.
 */
export type Outlook = 'away' | 'locked' | 'ended' | 'stopped' | 'signed-out';

/** The code of a problem that Jupyter Server itself answers to a page without a login. */
export const SIGNED_OUT = 'signed-out';

/** JupyterHub's status for the address of a server that does not run. */
const NOT_RUNNING = 424;

export function judgeProblem(problem: IProblem): Outlook {
  if (problem.code === 'session-ended') {
    return 'ended';
  }
  if (problem.status === NOT_RUNNING) {
    return 'stopped';
  }
  if (problem.code === SIGNED_OUT) {
    return 'signed-out';
  }
  return problem.code === 'locked' ? 'locked' : 'away';
}

/** Asking again would be answered the same until the user does something. */
export function isFinal(outlook: Outlook | null): boolean {
  return outlook === 'ended' || outlook === 'stopped' || outlook === 'signed-out';
}

function toSentence(text: string): string {
  const plain = text.replace(/`/g, '').replace(/\.$/, '');
  // A name between backticks is as its owner writes it.
  return `${text.startsWith('`') ? plain : plain[0].toUpperCase() + plain.slice(1)}.`;
}

/** What happened and what helps, for a notification; backticks of other channels are left out. */
export function describeProblem(problem: IProblem): string {
  return [problem.detail || problem.title, problem.remedy ?? ''].filter(Boolean).map(toSentence).join(' ');
}
