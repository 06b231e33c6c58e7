import assert from 'node:assert/strict';
import { test } from 'node:test';

import { job, load, request, role, session } from './documents.mjs';

const { DocumentError, parseJobs, parseSession } = load('session_documents');

test('a session of the service is what the page shows', () => {
  const document = session({ roles: [role('PROJECT_READER', 60)], requests: [request('waiting')], revision: 7 });
  assert.deepEqual(parseSession(document), document);
});

test('a service that does not tell when the session stops tells nothing of it', () => {
  const { ends_at, ends_because, ...older } = session();
  assert.equal(parseSession(older).ends_at, null);
  assert.equal(parseSession(older).ends_because, null);
});

test('another document is none, and the error says where', () => {
  const cases = [
    [{}, 'user'],
    [null, 'object'],
    [[], 'object'],
    [session({ at: 'soon' }), 'at'],
    [session({ project: 7 }), 'project'],
    [session({ roles: 'all' }), 'roles'],
    [session({ roles: [role('A'), role('B', null, { seconds_left: 'many' })] }), 'roles[1].seconds_left'],
    [session({ requests: [request('waiting', { id: 3 })] }), 'requests[0].id'],
    [session({ session: { id: 's1' } }), 'session.server'],
    [session({ ends_at: 'never' }), 'ends_at']
  ];
  for (const [document, where] of cases) {
    assert.throws(() => parseSession(document), error => error instanceof DocumentError && error.message.endsWith(` ${where}`));
  }
});

test('jobs are a list of jobs', () => {
  assert.deepEqual(parseJobs({ jobs: [job('running', { fraction: 0.5 })] }), [job('running', { fraction: 0.5 })]);
  for (const document of [{}, { jobs: {} }, { jobs: [{ id: 'j1' }] }, { jobs: [job('running', { fraction: '5' })] }]) {
    assert.throws(() => parseJobs(document), DocumentError);
  }
});
