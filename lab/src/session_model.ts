import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { findNotices, INotice } from './notices';
import { ProblemError, ServiceClient } from './service_client';
import { IJob, IProblem, ISession } from './session';

const IDLE_MS = 20_000;
const WAITING_MS = 5_000;
const RUNNING_MS = 2_000;
const MAX_BACKOFF_MS = 120_000;
const MAX_REMEMBERED = 100;

/** Keeps what a page has seen, so that a reload neither loses nor repeats a notice. */
export interface IMemory {
  read(key: string): string[];
  write(key: string, values: string[]): void;
}

/** The state of this session: read at intervals, shared by everything that shows it. */
export class SessionModel {
  constructor(
    readonly client: ServiceClient,
    private readonly memory: IMemory
  ) {
    this.poll = new Poll({
      name: 'aizen-lab:session',
      factory: () => this.read(),
      frequency: { interval: IDLE_MS, backoff: true, max: MAX_BACKOFF_MS },
      standby: 'when-hidden'
    });
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) {
        void this.refresh();
      }
    });
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emits what the user should be told about, each once. */
  get noticed(): ISignal<this, INotice> {
    return this._noticed;
  }

  get session(): ISession | null {
    return this._session;
  }

  get jobs(): readonly IJob[] {
    return this._jobs;
  }

  /** Why the last reading failed; null if it did not. */
  get problem(): IProblem | null {
    return this._problem;
  }

  get isEnded(): boolean {
    return this._isEnded;
  }

  get panel(): string {
    return this._session?.panel ?? '';
  }

  /** Seconds until a role ends, by the clock of this page and the time that the service left. */
  secondsLeft(secondsAtReading: number | null): number | null {
    return secondsAtReading === null ? null : secondsAtReading - (Date.now() - this.readAt) / 1000;
  }

  /** The time of the service. */
  get now(): Date {
    const elapsed = Date.now() - this.readAt;
    return this._session === null ? new Date() : new Date(Date.parse(this._session.at) + elapsed);
  }

  findJob(id: string): IJob | undefined {
    return this._jobs.find(job => job.id === id);
  }

  async refresh(): Promise<void> {
    await this.poll.refresh();
    await this.poll.tick.catch(() => undefined);
  }

  private async read(): Promise<void> {
    try {
      const [session, jobs] = await Promise.all([this.client.getSession(), this.client.listJobs()]);
      this.accept(session, jobs);
    } catch (error) {
      if (!(error instanceof ProblemError)) {
        throw error;
      }
      this.fail(error);
      if (!error.isEnd) {
        throw error; // so that the poll waits longer each time
      }
    }
  }

  private accept(session: ISession, jobs: IJob[]): void {
    const before = this._session;
    this._session = session;
    this._jobs = jobs;
    this._problem = null;
    this._isEnded = false;
    this.readAt = Date.now();
    this.poll.frequency = { ...this.poll.frequency, interval: this.nextInterval() };
    this._changed.emit();
    const prefix = session.user;
    const notices = findNotices(before, session, new Set(this.memory.read(`${prefix} waiting`)));
    const waiting = session.requests.filter(request => request.state === 'waiting').map(request => request.id);
    this.memory.write(`${prefix} waiting`, waiting);
    const seen = this.memory.read(`${prefix} seen`);
    const fresh = notices.filter(notice => !seen.includes(notice.key));
    if (fresh.length > 0) {
      this.memory.write(`${prefix} seen`, [...seen, ...fresh.map(notice => notice.key)].slice(-MAX_REMEMBERED));
    }
    fresh.forEach(notice => this._noticed.emit(notice));
  }

  private fail(error: ProblemError): void {
    const wasEnded = this._isEnded;
    this._problem = error.problem;
    this._isEnded = error.isEnd;
    this._changed.emit();
    if (error.isEnd && !wasEnded) {
      this._noticed.emit({ key: 'session ended', kind: 'error', message: error.sentences });
    }
  }

  private nextInterval(): number {
    if (this._jobs.some(job => job.state === 'running')) {
      return RUNNING_MS;
    }
    const session = this._session;
    const usual = session?.requests.some(request => request.state === 'waiting') ? WAITING_MS : IDLE_MS;
    const ends = (session?.roles ?? []).flatMap(role => (role.seconds_left === null ? [] : [role.seconds_left]));
    // The reading after an end shows it at once.
    return Math.max(1_000, Math.min(usual, ...ends.map(seconds => 1000 * seconds + 500)));
  }

  private readonly poll: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _noticed = new Signal<this, INotice>(this);
  private _session: ISession | null = null;
  private _jobs: IJob[] = [];
  private _problem: IProblem | null = null;
  private _isEnded = false;
  private readAt = Date.now();
}
