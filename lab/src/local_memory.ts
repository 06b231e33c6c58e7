import { IMemory } from './notice_history';

/** Remembers lists of texts in the browser; where that is forbidden, until the page is closed. */
export class LocalMemory implements IMemory {
  constructor(private readonly prefix: string) {}

  read(key: string): string[] {
    const fallback = this.values.get(key) ?? [];
    try {
      const value: unknown = JSON.parse(window.localStorage.getItem(`${this.prefix} ${key}`) ?? 'null');
      return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : fallback;
    } catch {
      return fallback;
    }
  }

  write(key: string, values: string[]): void {
    this.values.set(key, values);
    try {
      window.localStorage.setItem(`${this.prefix} ${key}`, JSON.stringify(values));
    } catch {
      return; // kept in this page
    }
  }

  private readonly values = new Map<string, string[]>();
}
