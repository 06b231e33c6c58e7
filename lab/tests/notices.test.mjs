import assert from 'node:assert/strict';
import { test } from 'node:test';

import { after, load, request, role, session } from './documents.mjs';

const { findNotices } = load('notices');
const { NoticeHistory } = load('notice_history');

const messages = (before, now, waiting = []) => findNotices(before, now, new Set(waiting)).map(notice => notice.message);

/** A memory that outlives the history, as that of a browser outlives a page. */
function browserMemory() {
  const values = new Map();
  return { read: key => values.get(key) ?? [], write: (key, value) => void values.set(key, value) };
}

test('a decision is told to who waited for it, with the comment', () => {
  const approved = session({
    roles: [role('PROJECT_EXECUTOR', 3600)],
    requests: [request('approved', { comment: 'One run.' })]
  });
  assert.match(messages(null, approved, ['r1'])[0], /^Your request was approved: PROJECT_EXECUTOR in churn until .* “One run.”$/);
  assert.deepEqual(messages(null, approved), [], 'it was decided before this browser knew of it');
  const otherwise = session({ requests: [request('approved')] });
  assert.match(messages(null, otherwise, ['r1'])[0], /with other access than you asked for/);
  assert.match(messages(null, session({ requests: [request('denied')] }), ['r1'])[0], /^Your request was denied/);
  assert.match(messages(null, session({ requests: [request('expired')] }), ['r1'])[0], /expired without an answer/);
});

test('a role is announced to end ten minutes before, and the last one says to save', () => {
  assert.deepEqual(messages(null, session({ roles: [role('A', 601), role('B')] })), []);
  assert.deepEqual(messages(null, session({ roles: [role('A', 600), role('B')] })), ['A in churn ends in 10 min.']);
  assert.deepEqual(messages(null, session({ roles: [role('A', 600)] })), [
    'A in churn ends in 10 min. It is your last role in churn: save your work.'
  ]);
  assert.deepEqual(messages(null, session({ roles: [role('A', 600, { state: 'stopped' })] })), []);
});

test('a role that has ended is told, but not one that was left behind by a switch of the project', () => {
  const before = session({ roles: [role('A', -1), role('B')] });
  assert.deepEqual(messages(before, session({ roles: [role('B')] })), ['A in churn has ended.']);
  assert.deepEqual(messages(before, session({ project: 'pricing', roles: [] })), []);
  assert.deepEqual(messages(before, session({ session: null, roles: [] })), []);
});

test('a session that will stop is announced, with the reason', () => {
  const stopping = session({ ends_at: after(540), ends_because: 'the project `churn` was deleted.' });
  assert.deepEqual(messages(null, stopping), [
    'Your session will stop in 9 min: save your work. Reason: the project churn was deleted.'
  ]);
  assert.deepEqual(messages(null, session({ ends_at: after(540) })), ['Your session will stop in 9 min: save your work.']);
  assert.deepEqual(messages(null, session({ ends_at: after(601) })), []);
  assert.deepEqual(messages(null, session({ ends_at: after(-1) })), []);
});

test('a reload neither repeats a notice nor loses one', () => {
  const memory = browserMemory();
  const page = new NoticeHistory(memory);
  const stopping = session({ ends_at: after(60), requests: [request('waiting')] });
  assert.equal(page.afterReading(null, stopping).length, 1);
  assert.equal(page.afterReading(stopping, stopping).length, 0);
  const reloaded = new NoticeHistory(memory);
  const decided = { ...stopping, requests: [request('denied')] };
  assert.deepEqual(reloaded.afterReading(null, decided).map(notice => notice.key), ['request r1 denied']);
  assert.equal(new NoticeHistory(memory).afterReading(null, decided).length, 0);
  const later = { ...decided, ends_at: after(30) };
  assert.equal(reloaded.afterReading(decided, later).length, 1, 'another time is news');
});

test('the end of a session is told once, however often and wherever it is seen', () => {
  const page = new NoticeHistory(browserMemory());
  const ended = { title: 'Your session has ended', detail: '`alice` ended it.', code: 'session-ended', status: 403 };
  assert.equal(page.afterFailure('away', { title: 'No answer', status: 503 }), null);
  const notice = page.afterFailure('ended', ended);
  assert.match(notice.message, /^Your session has ended.* start again at the hub\.$/);
  assert.ok(notice.message.length <= 140, 'JupyterLab cuts what is longer');
  assert.ok(notice.isExplained && notice.startsAgain);
  assert.equal(page.afterFailure('ended', ended), null);
  assert.equal(page.afterFailure('stopped', { title: 'No server', status: 424 }), null);
  const restarted = page.afterFailure('signed-out', { title: 'Not signed in', code: 'signed-out', status: 403 });
  assert.equal(restarted.reloads, true, 'the server was started again');
  page.afterReading(null, session());
  assert.match(page.afterFailure('stopped', { title: 'No server', status: 424 }).message, /start it again at the hub/);
});

test('a lock is told once until it is undone, also if the service is away meanwhile', () => {
  const page = new NoticeHistory(browserMemory());
  const locked = { title: 'Locked', detail: '`alice` locked the project', remedy: 'ask an administrator', status: 403 };
  assert.equal(page.afterFailure('locked', locked).message, 'alice locked the project. Ask an administrator.');
  assert.equal(page.afterFailure('away', { title: 'No answer', status: 503 }), null);
  assert.equal(page.afterFailure('locked', locked), null);
  page.afterReading(null, session());
  assert.notEqual(page.afterFailure('locked', locked), null);
});
