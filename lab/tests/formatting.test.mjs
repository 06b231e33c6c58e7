import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from './documents.mjs';

const { formatAmount, formatDuration, formatPercent, formatTime } = load('formatting');

test('time left is in the unit that matters, and never below zero', () => {
  const said = [-5, 0, 0.2, 40, 119, 120, 3599, 3600, 11_520, 86_399, 86_400, 200_000].map(formatDuration);
  assert.deepEqual(said, [
    '0 s',
    '0 s',
    '1 s',
    '40 s',
    '119 s',
    '2 min',
    '59 min',
    '1 h',
    '3 h 12 min',
    '23 h 59 min',
    '1 day',
    '2 days'
  ]);
});

test('a time has its day unless it is today, and its year unless it is this one', () => {
  const now = new Date(2026, 11, 1, 12).getTime();
  const clock = formatTime(new Date(2026, 11, 1, 14, 46).getTime(), now);
  assert.match(clock, /46/);
  const friday = formatTime(new Date(2026, 11, 4, 14, 46).getTime(), now);
  assert.ok(friday.endsWith(`, ${clock}`) && friday.length > clock.length + 2, friday);
  assert.doesNotMatch(friday, /2026/);
  assert.match(formatTime(new Date(2027, 0, 4, 14, 46).getTime(), now), /2027/);
});

test('a fraction beyond its bounds stays a percentage', () => {
  assert.deepEqual([-1, 0.239, 1, 7].map(formatPercent), ['0 %', '23 %', '100 %', '100 %']);
});

test('memory has a unit, other amounts have none', () => {
  assert.equal(formatAmount('memory', 8 * 2 ** 30), '8 GiB');
  assert.equal(formatAmount('memory', 1536 * 2 ** 20), '1.5 GiB');
  assert.equal(formatAmount('running_jobs', 4096), '4096');
});
