import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { accessIcon } from './icons';
import { SessionModel } from './session_model';
import { describeJobs, describeStatus } from './status_text';
import { useModel } from './use_model';

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
