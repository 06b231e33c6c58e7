/** Which notices were shown: a reload of the page neither loses one nor repeats it. */

import { findEndNotice, findNotices, INotice } from './notices';
import { Outlook } from './problems';
import { IProblem, ISession } from './session';

const MAX_REMEMBERED = 100;

/** Keeps lists of texts beyond the life of a page. */
export interface IMemory {
  read(key: string): string[];
  write(key: string, values: string[]): void;
}

export class NoticeHistory {
  constructor(private readonly memory: IMemory) {}

  /** Returns what the user has not been told yet, after a reading that succeeded. */
  afterReading(before: ISession | null, session: ISession): INotice[] {
    this.outlook = null;
    const prefix = session.user;
    const notices = findNotices(before, session, new Set(this.memory.read(`${prefix} waiting`)));
    const waiting = session.requests.filter(request => request.state === 'waiting').map(request => request.id);
    this.memory.write(`${prefix} waiting`, waiting);
    const seen = this.memory.read(`${prefix} seen`);
    const fresh = notices.filter(notice => !seen.includes(notice.key));
    if (fresh.length > 0) {
      this.memory.write(`${prefix} seen`, [...seen, ...fresh.map(notice => notice.key)].slice(-MAX_REMEMBERED));
    }
    return fresh;
  }

  /**
   * Returns the notice of a reading that failed, or null: one for the end of a session, however it is seen first, one
   * for a lock, and one for a page that must be loaded again.
   */
  afterFailure(outlook: Outlook, problem: IProblem): INotice | null {
    const before = this.outlook;
    // That the server stops after its session is no news, nor what follows while something is away.
    if (outlook === 'away' || outlook === before || (outlook === 'stopped' && before === 'ended')) {
      return null;
    }
    this.outlook = outlook;
    return findEndNotice(outlook, problem);
  }

  private outlook: Outlook | null = null;
}
