// Documents of the service, and the modules under test: those that need neither page nor JupyterLab.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const compiled = process.env.AIZEN_LAB_COMPILED ?? fileURLToPath(new URL('../lib/pure', import.meta.url));

export const load = name => require(`${compiled}/${name}.js`);

export const AT = '2026-12-01T12:00:00Z';

/** The time so many seconds after the session was read. */
export const after = seconds => new Date(Date.parse(AT) + 1000 * seconds).toISOString();

export const role = (name, secondsLeft = null, changes = {}) => ({
  role: name,
  description: '',
  scope: 'churn',
  state: 'effective',
  source: 'paul',
  starts: null,
  ends: secondsLeft === null ? null : after(secondsLeft),
  seconds_left: secondsLeft,
  ...changes
});

export const request = (state, changes = {}) => ({
  id: 'r1',
  role: 'PROJECT_EXECUTOR',
  scope: 'churn',
  state,
  asked: AT,
  until: null,
  comment: '',
  ...changes
});

export const job = (state, changes = {}) => ({
  id: 'j1',
  line: 'start training churn',
  state,
  fraction: null,
  message: '',
  project: 'churn',
  started: AT,
  ended: null,
  ...changes
});

export const session = (changes = {}) => ({
  user: 'rita',
  display_name: 'Rita Reader',
  acting: null,
  session: { id: 's1', server: '', started: AT },
  project: 'churn',
  roles: [role('PROJECT_READER')],
  limits: [],
  requests: [],
  panel: '/services/aizen/',
  at: AT,
  ends_at: null,
  ends_because: null,
  ...changes
});
