import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { NoticeHistory } from './notice_history';
import { INotice } from './notices';
import { isFinal, judgeProblem, Outlook } from './problems';
import { FIRST_INTERVAL_MS, MAX_BACKOFF_MS, nextInterval } from './reading_interval';
import { ProblemError, ServiceClient } from './service_client';
import { IJob, IProblem, ISession } from './session';

/** The state of this session: read at intervals until it is over, shared by everything that shows it. */
export class SessionModel {
  constructor(
    readonly client: ServiceClient,
    private readonly history: NoticeHistory
  ) {
    this.poll = new Poll({
      name: 'aizen-lab:session',
      factory: () => this.read(),
      frequency: { interval: FIRST_INTERVAL_MS, backoff: true, max: MAX_BACKOFF_MS },
      standby: 'when-hidden'
    });
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) {
        // Once, also after the end: the user may come back from having started the server again.
        void this.lookAgain();
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

  /** What the last reading means for the next ones; null if it did not fail. */
  get outlook(): Outlook | null {
    return this._outlook;
  }

  /** The session is over, and nothing is read any more. */
  get isEnded(): boolean {
    return isFinal(this._outlook);
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

  /** Reads now, unless the session is over. */
  async refresh(): Promise<void> {
    if (!this.isEnded) {
      await this.lookAgain();
    }
  }

  /** Reads once, also after the end; a session that is there again is read at intervals again. */
  async lookAgain(): Promise<void> {
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
      if (!this.isEnded) {
        throw error; // so that the poll waits longer each time
      }
    }
  }

  private accept(session: ISession, jobs: IJob[]): void {
    const before = this._session;
    this._session = session;
    this._jobs = jobs;
    this._problem = null;
    this._outlook = null;
    this.readAt = Date.now();
    this.poll.frequency = { ...this.poll.frequency, interval: nextInterval(session, jobs) };
    this._changed.emit();
    this.history.afterReading(before, session).forEach(notice => this._noticed.emit(notice));
  }

  private fail(error: ProblemError): void {
    this._problem = error.problem;
    this._outlook = judgeProblem(error.problem);
    if (this.isEnded) {
      void this.poll.stop();
    }
    this._changed.emit();
    const notice = this.history.afterFailure(this._outlook, error.problem);
    if (notice !== null) {
      this._noticed.emit(notice);
    }
  }

  private readonly poll: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _noticed = new Signal<this, INotice>(this);
  private _session: ISession | null = null;
  private _jobs: IJob[] = [];
  private _problem: IProblem | null = null;
  private _outlook: Outlook | null = null;
  private readAt = Date.now();
}
