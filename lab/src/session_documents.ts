/** Checks what the service answers, since a page may be older or newer than the service it asks. */

import { IJob, IOwnRole, ISession } from './session';

/** An answer is not the document that was asked for. */
export class DocumentError extends Error {
  constructor(path: string) {
    super(`the answer has no valid ${path}`);
    this.name = 'DocumentError';
  }
}

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const isText: Check = value => typeof value === 'string';
const isNumber: Check = value => typeof value === 'number' && Number.isFinite(value);
const isTime: Check = value => typeof value === 'string' && !Number.isNaN(Date.parse(value));
const isObject: Check = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const optional =
  (check: Check): Check =>
  value =>
    value === null || value === undefined || check(value);

const ROLE: Readonly<Record<keyof IOwnRole, Check>> = {
  role: isText,
  description: isText,
  scope: isText,
  state: isText,
  source: isText,
  starts: optional(isTime),
  ends: optional(isTime),
  seconds_left: optional(isNumber)
};
const REQUEST = { id: isText, role: isText, scope: isText, state: isText, asked: isTime, until: optional(isTime), comment: isText };
const LIMIT = { limit: isText, value: isNumber, source: isText, used: optional(isNumber) };
const SERVER = { id: isText, server: isText, started: isTime };
const SESSION = { user: isText, panel: isText, at: isTime, project: optional(isText), acting: optional(isText) };
const JOB = { id: isText, line: isText, state: isText, fraction: optional(isNumber), message: isText };

function checkFields(value: unknown, checks: Readonly<Record<string, Check>>, path: string): Fields {
  if (!isObject(value)) {
    throw new DocumentError(path || 'object');
  }
  const fields = value as Fields;
  const wrong = Object.keys(checks).find(name => !checks[name](fields[name]));
  if (wrong !== undefined) {
    throw new DocumentError(path ? `${path}.${wrong}` : wrong);
  }
  return fields;
}

function checkList(value: unknown, checks: Readonly<Record<string, Check>>, path: string): void {
  if (!Array.isArray(value)) {
    throw new DocumentError(path);
  }
  value.forEach((item, index) => checkFields(item, checks, `${path}[${index}]`));
}

/**
 * Returns the session that `GET /api/v1/session` answered.
 *
 * A service that does not yet tell when the session stops tells nothing of it, rather than something wrong.
 */
export function parseSession(value: unknown): ISession {
  const fields = checkFields(value, SESSION, '');
  checkList(fields.roles, ROLE, 'roles');
  checkList(fields.requests, REQUEST, 'requests');
  checkList(fields.limits, LIMIT, 'limits');
  const server = fields.session ?? null;
  if (server !== null) {
    checkFields(server, SERVER, 'session');
  }
  const { ends_at, ends_because } = checkFields(
    fields,
    { ends_at: optional(isTime), ends_because: optional(isText) },
    ''
  );
  return { ...fields, session: server, ends_at: ends_at ?? null, ends_because: ends_because ?? null } as ISession;
}

/** Returns the jobs that `GET /api/v1/jobs` answered. */
export function parseJobs(value: unknown): IJob[] {
  const { jobs } = checkFields(value, {}, '');
  checkList(jobs, JOB, 'jobs');
  return jobs as IJob[];
}
