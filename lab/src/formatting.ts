/** Times and amounts in words, in the time zone and language of the browser. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `3 h 12 min`, `2 days`, `40 s`; never below zero. */
export function formatDuration(seconds: number): string {
  const left = Math.max(0, seconds);
  if (left < 2 * MINUTE) {
    return `${Math.ceil(left)} s`;
  }
  if (left < HOUR) {
    return `${Math.floor(left / MINUTE)} min`;
  }
  if (left < DAY) {
    const minutes = Math.floor((left % HOUR) / MINUTE);
    return `${Math.floor(left / HOUR)} h${minutes ? ` ${minutes} min` : ''}`;
  }
  const days = Math.floor(left / DAY);
  return `${days} day${days === 1 ? '' : 's'}`;
}

/** `14:46` today, else `Fri 4 Dec, 14:46`. */
export function formatTime(time: string | number, now: number = Date.now()): string {
  const date = new Date(time);
  const clock = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === new Date(now).toDateString()) {
    return clock;
  }
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  const day = date.toLocaleDateString([], {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    ...(isThisYear ? {} : { year: 'numeric' })
  });
  return `${day}, ${clock}`;
}

export function formatPercent(fraction: number): string {
  return `${Math.floor(100 * Math.min(1, Math.max(0, fraction)))} %`;
}

/** The last characters of an id, which the service understands as well. */
export function shortenId(id: string): string {
  return id.slice(-8);
}

/** An amount of a limit: bytes of memory as `8 GiB`, other numbers as they are. */
export function formatAmount(limit: string, value: number): string {
  if (!/memory/.test(limit) || value < 1024) {
    return String(value);
  }
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  const amount = value / 2 ** (10 * power);
  return `${Number.isInteger(amount) ? amount : amount.toFixed(1)} ${units[power]}`;
}
