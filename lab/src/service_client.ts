import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { IJob, IProblem, ISession } from './session';

/** A refusal of the service or of the user server, as the sentence that the user reads. */
export class ProblemError extends Error {
  constructor(readonly problem: IProblem) {
    super(problem.detail || problem.title);
    this.name = 'ProblemError';
  }

  /** What happened and what helps, for a notification; backticks of other channels are left out. */
  get sentences(): string {
    const parts = [this.message, this.problem.remedy ?? ''].filter(Boolean);
    return parts.map(part => `${part[0].toUpperCase()}${part.slice(1).replace(/`/g, '').replace(/\.$/, '')}.`).join(' ');
  }

  /** The session of this server is over; nothing but a new server helps. */
  get isEnd(): boolean {
    return this.problem.code === 'session-ended' || this.problem.code === 'locked';
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

  getSession(): Promise<ISession> {
    return this.call<ISession>('session');
  }

  async listJobs(): Promise<IJob[]> {
    return (await this.call<{ jobs: IJob[] }>('jobs')).jobs;
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
      throw new ProblemError({ title: 'Your server does not answer', code: 'unreachable', status: 0 });
    }
    let content: unknown;
    try {
      content = await response.json();
    } catch {
      content = {};
    }
    if (!response.ok) {
      const problem = content as Partial<IProblem> & { message?: string };
      const title = problem.title ?? problem.message ?? `Your server answered with status ${response.status}`;
      throw new ProblemError({ ...problem, title, status: response.status });
    }
    return content as T;
  }
}
