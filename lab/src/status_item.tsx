import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { formatDuration, formatPercent } from './formatting';
import { accessIcon } from './icons';
import { SessionModel } from './session_model';
import { useModel } from './use_model';

const SHOWN_BEFORE_SECONDS = 86_400;

/** Returns project, role and the time left of the role that ends first, as the status bar says them. */
export function describeStatus(model: SessionModel): string {
  const session = model.session;
  if (model.isEnded) {
    return 'session ended';
  }
  if (session === null) {
    return model.problem ? 'access unknown' : '…';
  }
  const roles = session.roles
    .filter(role => role.state === 'effective' && (session.project === null || role.scope === session.project))
    .map(role => ({ name: role.role, left: model.secondsLeft(role.seconds_left) ?? Infinity }))
    .filter(role => role.left > 0)
    .sort((one, other) => one.left - other.left);
  const project = session.project ?? 'no project';
  if (roles.length === 0) {
    return session.project === null ? project : `${project} · no role`;
  }
  const [first] = roles;
  const left = first.left <= SHOWN_BEFORE_SECONDS ? `, ${formatDuration(first.left)} left` : '';
  const more = roles.length > 1 ? ` +${roles.length - 1}` : '';
  return `${project} · ${first.name}${left}${more}`;
}

function describeJobs(model: SessionModel): string {
  const running = model.jobs.filter(job => job.state === 'running');
  if (running.length === 0) {
    return '';
  }
  const fraction = running.length === 1 ? running[0].fraction : null;
  return `${running.length} job${running.length > 1 ? 's' : ''}${fraction === null ? '' : `, ${formatPercent(fraction)}`}`;
}

function StatusView(props: { model: SessionModel; open: () => void }): JSX.Element {
  const { model } = props;
  useModel(model);
  const isStale = model.problem !== null;
  const jobs = describeJobs(model);
  return (
    <button
      type="button"
      className={isStale ? 'aizen-status aizen-stale' : 'aizen-status'}
      title={isStale ? `${model.problem?.title}: open Access` : 'Open Access'}
      onClick={props.open}
    >
      <accessIcon.react tag="span" width="14px" height="14px" verticalAlign="middle" />
      <span>{describeStatus(model)}</span>
      {jobs && <span className="aizen-faint">{jobs}</span>}
    </button>
  );
}

/** Project, role and time left; a click opens the panel. */
export class StatusItem extends ReactWidget {
  constructor(
    private readonly model: SessionModel,
    private readonly open: () => void
  ) {
    super();
    this.addClass('aizen-status-item');
  }

  protected render(): JSX.Element {
    return <StatusView model={this.model} open={this.open} />;
  }
}
