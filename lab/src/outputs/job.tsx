import React from 'react';

import { JobProgress } from '../access_panel';
import { Actions } from '../actions';
import { formatPercent, shortenId } from '../formatting';
import { IJob } from '../session';
import { SessionModel } from '../session_model';
import { useModel } from '../use_model';
import { OutputFields, Prose } from './output_renderer';

export const JOB_MIME = 'application/vnd.aizen.job+json';

const STATES: Record<IJob['state'], string> = {
  running: 'runs',
  done: 'done',
  failed: 'failed',
  stopped: 'stopped',
  unknown: 'its state is unknown at present'
};

/**
 * The progress of a job. While it runs, what the service says now is shown rather than what the output says: the cell
 * that started it may have ended with an earlier page.
 */
export function JobView(props: { fields: OutputFields; model: SessionModel; actions: Actions }): JSX.Element {
  const { fields, model, actions } = props;
  useModel(model);
  const id = fields.text('job_id');
  const own = id === '' ? undefined : model.findJob(id);
  const percent = fields.number('percent');
  const written = (fields.text('state') || 'unknown') as IJob['state'];
  const mayRun = written === 'running';
  const isStale = own === undefined && mayRun && model.session !== null;
  const state = own?.state ?? (isStale ? 'unknown' : written);
  const job: Pick<IJob, 'line' | 'fraction' | 'message'> = own ?? {
    line: fields.text('line'),
    fraction: percent === null ? null : percent / 100,
    message: fields.text('message')
  };
  React.useEffect(() => {
    if (mayRun && own === undefined) {
      void model.refresh();
    }
  }, [id]);
  const running = state === 'running';
  return (
    <div className="aizen-job" data-state={state}>
      <div className="aizen-row">
        <span>
          <code>{job.line}</code> <Prose text={job.message} />
        </span>
        <span className="aizen-faint">
          {running && job.fraction !== null ? formatPercent(job.fraction) : STATES[state] ?? state}
        </span>
      </div>
      {running && <JobProgress job={job} />}
      {fields.texts('log').map((text, index) => (
        <div key={index} className="aizen-faint">
          <code>{text}</code>
        </div>
      ))}
      <div className="aizen-row aizen-faint">
        <span>
          job <code>{shortenId(id)}</code>
          {running && ' goes on if you close this page; it comes back here by itself'}
          {isStale && ' is not among your jobs of this week'}
        </span>
        {running && own && (
          <button type="button" aria-label={`Stop ${job.line}`} onClick={() => actions.stopJob(own.id)}>
            Stop
          </button>
        )}
      </div>
    </div>
  );
}
