/** What the service tells about this session; the shapes of `aizen_hub/api_models/own_session.py` and `own_jobs.py`. */

export interface IOwnRole {
  role: string;
  description: string;
  scope: string;
  state: 'effective' | 'later' | 'stopped';
  source: string;
  starts: string | null;
  ends: string | null;
  seconds_left: number | null;
}

export interface IOwnLimit {
  limit: string;
  value: number;
  source: string;
  used: number | null;
}

export interface IOwnRequest {
  id: string;
  role: string;
  scope: string;
  state: 'waiting' | 'approved' | 'denied' | 'withdrawn' | 'expired';
  asked: string;
  until: string | null;
  comment: string;
}

export interface ISession {
  user: string;
  display_name: string;
  acting: string | null;
  session: { id: string; server: string; started: string } | null;
  project: string | null;
  roles: IOwnRole[];
  limits: IOwnLimit[];
  requests: IOwnRequest[];
  panel: string;
  at: string;
  /** When the session will stop, as far as that is known, and why, in words. */
  ends_at: string | null;
  ends_because: string | null;
}

export interface IJob {
  id: string;
  line: string;
  state: 'running' | 'done' | 'failed' | 'stopped' | 'unknown';
  fraction: number | null;
  message: string;
  project: string | null;
  started: string | null;
  ended: string | null;
}

/** A problem document (RFC 9457), with what the service adds. */
export interface IProblem {
  title: string;
  detail?: string;
  remedy?: string;
  code?: string;
  status: number;
}

export const SYSTEM = 'system';
