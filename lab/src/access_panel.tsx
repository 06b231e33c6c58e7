import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { Actions } from './actions';
import { formatAmount, formatDuration, formatPercent, formatTime, shortenId } from './formatting';
import { accessIcon } from './icons';
import { Prose } from './outputs/output_renderer';
import { checkedPanelLink } from './panel_links';
import { Outlook } from './problems';
import { IJob, IOwnLimit, IOwnRequest, IOwnRole, ISession, SYSTEM } from './session';
import { SessionModel } from './session_model';
import { useModel } from './use_model';

const DAY_SECONDS = 86_400;
const SHOWN_ENDED_JOBS = 5;
const SHOWN_REQUESTS = 5;

const REQUEST_STATES: Record<IOwnRequest['state'], string> = {
  waiting: 'waiting',
  approved: 'approved',
  denied: 'denied',
  withdrawn: 'withdrawn',
  expired: 'no answer in time'
};

function Section(props: { title: string; children: React.ReactNode }): JSX.Element {
  const id = `aizen-${props.title.toLowerCase().replace(/\W+/g, '-')}`;
  return (
    <section aria-labelledby={id}>
      <h3 id={id}>{props.title}</h3>
      {props.children}
    </section>
  );
}

function RoleName(props: { name: string; title?: string }): JSX.Element {
  return (
    <span className="aizen-role" title={props.title}>
      {props.name}
    </span>
  );
}

function TimeLeft(props: { role: IOwnRole; model: SessionModel }): JSX.Element {
  const { role, model } = props;
  if (role.state === 'later') {
    return <span className="aizen-faint">from {formatTime(role.starts ?? '')}</span>;
  }
  if (role.state === 'stopped') {
    return <span className="aizen-warning">stopped</span>;
  }
  const left = model.secondsLeft(role.seconds_left);
  if (left === null || role.ends === null) {
    return <span className="aizen-faint">no end</span>;
  }
  if (left <= 0) {
    return <span className="aizen-warning">has ended</span>;
  }
  return left < DAY_SECONDS ? (
    <span className="aizen-warning" title={`until ${formatTime(role.ends)}`}>
      {formatDuration(left)} left
    </span>
  ) : (
    <span className="aizen-faint">until {formatTime(role.ends)}</span>
  );
}

function RoleList(props: { roles: IOwnRole[]; model: SessionModel }): JSX.Element {
  return (
    <ul>
      {props.roles.map(role => (
        <li key={`${role.role} ${role.scope} ${role.source} ${role.ends}`}>
          <div className="aizen-row">
            <RoleName name={role.role} title={role.description} />
            <TimeLeft role={role} model={props.model} />
          </div>
          <div className="aizen-faint">from {role.source}</div>
        </li>
      ))}
    </ul>
  );
}

function JobItem(props: { job: IJob; actions: Actions }): JSX.Element {
  const { job, actions } = props;
  const running = job.state === 'running';
  const when = job.ended ?? job.started;
  return (
    <li>
      <div className="aizen-row">
        <code>{job.line}</code>
        {running && (
          <button type="button" aria-label={`Stop ${job.line}`} onClick={() => actions.stopJob(job.id)}>
            Stop
          </button>
        )}
      </div>
      {running && <JobProgress job={job} />}
      <div className="aizen-faint">
        {[
          running && job.fraction !== null ? formatPercent(job.fraction) : job.state,
          job.message,
          when ? `${job.ended ? 'ended' : 'started'} ${formatTime(when)}` : '',
          shortenId(job.id)
        ]
          .filter(Boolean)
          .join(' · ')}
      </div>
    </li>
  );
}

/** The bar of a job; without a value while the core has not said how far it is. */
export function JobProgress(props: { job: Pick<IJob, 'line' | 'fraction'> }): JSX.Element {
  const { line, fraction } = props.job;
  return <progress max={1} {...(fraction === null ? {} : { value: fraction })} aria-label={line} />;
}

function RequestItem(props: { request: IOwnRequest; session: ISession }): JSX.Element {
  const { request, session } = props;
  const className = { approved: 'aizen-success', waiting: 'aizen-warning' }[request.state as string] ?? 'aizen-faint';
  const elsewhere = request.scope !== session.project;
  return (
    <li>
      <div className="aizen-row">
        <span>
          <RoleName name={request.role} /> {elsewhere && (request.scope === SYSTEM ? 'in the system' : request.scope)}
        </span>
        <span className={className}>{REQUEST_STATES[request.state]}</span>
      </div>
      <div className="aizen-faint">
        asked {formatTime(request.asked)}
        {request.until && `, until ${formatTime(request.until)}`}
        {request.comment && `: “${request.comment}”`}
      </div>
    </li>
  );
}

function LimitItem(props: { limit: IOwnLimit }): JSX.Element {
  const { limit, value, used } = props.limit;
  const amount = formatAmount(limit, value);
  return (
    <li>
      <div className="aizen-row">
        <span>{limit}</span>
        <span className="aizen-faint">{used === null ? amount : `${formatAmount(limit, used)} of ${amount}`}</span>
      </div>
      {used !== null && <progress max={value} value={used} aria-label={limit} />}
    </li>
  );
}

const PROBLEM_TITLES: Partial<Record<Outlook, string>> = {
  ended: 'Your session has ended',
  stopped: 'Your server does not run any more'
};

/** Why nothing is read at present, and how to go on. */
function Problem(props: { model: SessionModel; actions: Actions }): JSX.Element | null {
  const { model, actions } = props;
  const { problem, outlook, session } = model;
  if (problem === null || outlook === null) {
    return null;
  }
  return (
    <div className={model.isEnded ? 'aizen-problem aizen-ended' : 'aizen-problem'} role="alert">
      <b>{PROBLEM_TITLES[outlook] ?? problem.title}</b>
      {problem.detail && (
        <div>
          <Prose text={problem.detail} />
        </div>
      )}
      {problem.remedy && (
        <div className="aizen-faint">
          <Prose text={problem.remedy} />
        </div>
      )}
      {!model.isEnded && session !== null && (
        <div className="aizen-faint">What is shown below was true at {formatTime(session.at)}.</div>
      )}
      <div className="aizen-buttons">
        {outlook === 'signed-out' && (
          <button type="button" className="aizen-primary" onClick={() => actions.reloadPage()}>
            Reload
          </button>
        )}
        {(outlook === 'ended' || outlook === 'stopped') && (
          <button type="button" className="aizen-primary" onClick={() => actions.startAgain()}>
            Start again…
          </button>
        )}
        <button type="button" onClick={() => void model.lookAgain()}>
          Look again
        </button>
      </div>
    </div>
  );
}

function Content(props: { model: SessionModel; actions: Actions }): JSX.Element {
  const { model, actions } = props;
  const session = model.session;
  if (session === null) {
    return <p className="aizen-faint">{model.problem ? '' : 'Reading your access…'}</p>;
  }
  const here = session.roles.filter(role => role.scope === session.project);
  const inSystem = session.roles.filter(role => role.scope === SYSTEM);
  const running = model.jobs.filter(job => job.state === 'running');
  const ended = model.jobs.filter(job => job.state !== 'running').slice(0, SHOWN_ENDED_JOBS);
  const requests = session.requests.slice(0, SHOWN_REQUESTS);
  return (
    <>
      {session.project !== null && (
        <Section title="Roles here">
          {here.length > 0 ? (
            <RoleList roles={here} model={model} />
          ) : (
            <p className="aizen-faint">You have no role in {session.project}.</p>
          )}
        </Section>
      )}
      {inSystem.length > 0 && (
        <Section title="Roles in the system">
          <RoleList roles={inSystem} model={model} />
        </Section>
      )}
      <Section title="Jobs">
        {running.length + ended.length > 0 ? (
          <ul>
            {[...running, ...ended].map(job => (
              <JobItem key={job.id} job={job} actions={actions} />
            ))}
          </ul>
        ) : (
          <p className="aizen-faint">Nothing runs, and nothing ended this week.</p>
        )}
      </Section>
      {requests.length > 0 && (
        <Section title="Requests">
          <ul>
            {requests.map(request => (
              <RequestItem key={request.id} request={request} session={session} />
            ))}
          </ul>
        </Section>
      )}
      {session.limits.length > 0 && (
        <Section title="Limits">
          <ul>
            {session.limits.map(limit => (
              <LimitItem key={limit.limit} limit={limit} />
            ))}
          </ul>
        </Section>
      )}
      <section>
        <div className="aizen-row">
          <button type="button" className="aizen-primary" onClick={() => actions.requestAccess()}>
            Ask for access…
          </button>
          <button type="button" onClick={() => actions.switchProject()}>
            Switch project…
          </button>
        </div>
      </section>
    </>
  );
}

/** When the session will stop, as far as that is known. */
function SessionStop(props: { session: ISession }): JSX.Element | null {
  const { ends_at, ends_because } = props.session;
  if (ends_at === null) {
    return null;
  }
  return (
    <div className="aizen-warning">
      This session will stop {formatTime(ends_at)}
      {ends_because && (
        <>
          : <Prose text={ends_because} />
        </>
      )}
    </div>
  );
}

function AccessView(props: { model: SessionModel; actions: Actions }): JSX.Element {
  const { model } = props;
  useModel(model);
  const session = model.session;
  const myAccess = checkedPanelLink('me', model.panel);
  return (
    <>
      <div className="aizen-head">
        <div className="aizen-row">
          <h2>Access</h2>
          {myAccess && (
            <a href={myAccess} target="_blank" rel="noopener noreferrer">
              My access
            </a>
          )}
        </div>
        {session && (
          <div className="aizen-faint">
            {session.user}
            {session.acting && ` (acting: ${session.acting})`}, {session.project ? <>project </> : 'no project'}
            {session.project && <b>{session.project}</b>}
            {session.session && `, server since ${formatTime(session.session.started)}`}
          </div>
        )}
        {session && !model.isEnded && <SessionStop session={session} />}
      </div>
      <Problem model={model} actions={props.actions} />
      {!model.isEnded && <Content model={model} actions={props.actions} />}
    </>
  );
}

/** The panel *Access* in the right sidebar. */
export class AccessPanel extends ReactWidget {
  constructor(
    private readonly model: SessionModel,
    private readonly actions: Actions
  ) {
    super();
    this.id = 'aizen-access';
    this.addClass('aizen-panel');
    this.title.icon = accessIcon;
    this.title.caption = 'Access';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Access');
  }

  protected render(): JSX.Element {
    return <AccessView model={this.model} actions={this.actions} />;
  }
}
