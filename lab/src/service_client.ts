import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { describeProblem, SIGNED_OUT } from './problems';
import { IJob, IProblem, ISession } from './session';
import { DocumentError, parseJobs, parseSession } from './session_documents';

/** A refusal of the service or of the user server, as the sentence that the user reads. */
export class ProblemError extends Error {
  constructor(readonly problem: IProblem) {
    super(problem.detail || problem.title);
    this.name = 'ProblemError';
  }

  get sentences(): string {
    return describeProblem(this.problem);
  }
}

/** Returns what a parser makes of an answer; of another document a problem, which the user reads. */
function parseAnswer<T>(content: unknown, parse: (content: unknown) => T): T {
  try {
    return parse(content);
  } catch (error) {
    if (!(error instanceof DocumentError)) {
      throw error;
    }
    throw new ProblemError({
      title: 'Your server answered something unexpected',
      detail: error.message,
      remedy: 'reload this page',
      code: 'unexpected-answer',
      status: 0
    });
  }
}

export interface IRequestedRole {
  role: string;
  scope: string;
  reason: string;
  until?: string;
}

export interface IRoleDescription {
  name: string;
  description: string;
  scopes: string[];
}

/** Calls the server extension `aizen_hub.lab`, which calls the service; the role token is not known here. */
export class ServiceClient {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  async getSession(): Promise<ISession> {
    return parseAnswer(await this.call<unknown>('session'), parseSession);
  }

  async listJobs(): Promise<IJob[]> {
    return parseAnswer(await this.call<unknown>('jobs'), parseJobs);
  }

  async listRoles(): Promise<IRoleDescription[]> {
    return (await this.call<{ roles: IRoleDescription[] }>('catalog')).roles;
  }

  /** The projects that this user may see, with the user's roles in each. */
  async listProjects(): Promise<{ name: string; roles: string[] }[]> {
    const table = await this.call<{ rows: [string, string, string[]][] }>('projects');
    return table.rows.map(([name, , roles]) => ({ name, roles }));
  }

  async requestRole(request: IRequestedRole): Promise<void> {
    await this.call('requests', { ...request });
  }

  async stopJob(id: string): Promise<void> {
    await this.call(`jobs/${encodeURIComponent(id)}/stop`, {});
  }

  async switchProject(project: string): Promise<void> {
    await this.call('project', { project });
  }

  private async call<T>(path: string, body?: Record<string, string>): Promise<T> {
    const url = URLExt.join(this.settings.baseUrl, 'aizen', path);
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      if (!(error instanceof ServerConnection.NetworkError)) {
        throw error;
      }
      throw new ProblemError({
        title: 'Your server does not answer',
        remedy: 'this page tries again by itself',
        code: 'unreachable',
        status: 0
      });
    }
    let content: unknown;
    try {
      content = await response.json();
    } catch {
      content = {};
    }
    if (!response.ok) {
      const problem = content as Partial<IProblem> & { message?: string };
      // What is not a problem document comes from Jupyter Server or from the hub.
      if (problem.title === undefined && (response.status === 401 || response.status === 403)) {
        throw new ProblemError({
          title: 'This page is not signed in to your server any more',
          remedy: 'reload it to go on',
          code: SIGNED_OUT,
          status: response.status
        });
      }
      const title = problem.title ?? problem.message ?? `Your server answered with status ${response.status}`;
      throw new ProblemError({ ...problem, title, status: response.status });
    }
    return content as T;
  }
}
