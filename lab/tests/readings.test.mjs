import assert from 'node:assert/strict';
import { test } from 'node:test';

import { after, job, load, request, role, session } from './documents.mjs';

const { isFinal, judgeProblem } = load('problems');
const { nextInterval } = load('reading_interval');
const { describeJobs, describeStatus } = load('status_text');

const status = (changes = {}) => ({
  session: session(),
  jobs: [],
  outlook: null,
  secondsLeft: seconds => seconds,
  ...changes
});

test('only what the user must act on ends the readings', () => {
  const outlooks = [
    { code: 'session-ended', status: 403 },
    { status: 424 },
    { code: 'signed-out', status: 403 },
    { code: 'locked', status: 403 },
    { code: 'unreachable', status: 503 },
    { code: 'session-unheard', status: 403 },
    { code: 'too-many-requests', status: 429 },
    { status: 0 }
  ].map(problem => judgeProblem({ title: 'x', ...problem }));
  assert.deepEqual(outlooks, ['ended', 'stopped', 'signed-out', 'locked', 'away', 'away', 'away', 'away']);
  assert.deepEqual(outlooks.map(isFinal), [true, true, true, false, false, false, false, false]);
});

test('what is about to change is read sooner', () => {
  assert.equal(nextInterval(session(), []), 20_000);
  assert.equal(nextInterval(session({ requests: [request('waiting')] }), []), 5_000);
  assert.equal(nextInterval(session(), [job('done'), job('running')]), 2_000);
  assert.equal(nextInterval(session({ roles: [role('A', 3), role('B')] }), []), 3_500);
  assert.equal(nextInterval(session({ roles: [role('A', -20)] }), []), 1_000, 'never in a loop');
});

test('the status names project, the role that ends first, and the end of the session', () => {
  assert.equal(describeStatus(status()), 'churn · PROJECT_READER');
  const roles = [role('PROJECT_READER'), role('PROJECT_EXECUTOR', 7200), role('OTHER', 60, { scope: 'system' })];
  assert.equal(describeStatus(status({ session: session({ roles }) })), 'churn · PROJECT_EXECUTOR, 2 h left +1');
  assert.equal(describeStatus(status({ session: session({ roles: [] }) })), 'churn · no role');
  assert.equal(describeStatus(status({ session: session({ project: null, roles: [] }) })), 'no project');
  const stopping = status({ session: session({ ends_at: after(300) }) });
  assert.equal(describeStatus(stopping), 'churn · PROJECT_READER · session stops in 5 min');
  assert.equal(describeStatus(status({ session: null })), '…');
  assert.equal(describeStatus(status({ session: null, outlook: 'away' })), 'access unknown');
  assert.equal(describeStatus(status({ outlook: 'ended' })), 'session ended');
  assert.equal(describeStatus(status({ outlook: 'stopped' })), 'server stopped');
});

test('running jobs are counted, and the progress of a single one is said', () => {
  assert.equal(describeJobs(status({ jobs: [job('done')] })), '');
  assert.equal(describeJobs(status({ jobs: [job('running', { fraction: 0.4 }), job('done')] })), '1 job, 40 %');
  assert.equal(describeJobs(status({ jobs: [job('running', { fraction: 0.4 }), job('running')] })), '2 jobs');
  assert.equal(describeJobs(status({ jobs: [job('running')], outlook: 'ended' })), '');
});
