/** Addresses of panel and hub that may be opened. */

import { PageConfig, URLExt } from '@jupyterlab/coreutils';

/**
 * Returns an address that a notebook's output names, or null unless it is one of the panel.
 *
 * Outputs come from the author of the notebook, so that their links could lead anywhere.
 *
 * @param panel address of the panel, with a slash at its end; without a host it is on the hub's
 */
export function checkedPanelLink(address: unknown, panel: string): string | null {
  if (typeof address !== 'string' || address === '' || panel === '') {
    return null;
  }
  try {
    const root = new URL(panel, PageConfig.getOption('hubHost') || window.location.origin);
    const url = new URL(address, root);
    return url.origin === root.origin && url.pathname.startsWith(root.pathname) ? url.href : null;
  } catch {
    return null;
  }
}

export function openPanel(panel: string, path: string): void {
  const url = checkedPanelLink(path, panel);
  if (url !== null) {
    window.open(url, '_blank', 'noopener');
  }
}

/** Opens the page of the hub where the user's servers are stopped and started. */
export function openHub(): void {
  const home = URLExt.join(PageConfig.getOption('hubPrefix') || '/hub/', 'home');
  window.open(new URL(home, PageConfig.getOption('hubHost') || window.location.origin).href, '_blank', 'noopener');
}
