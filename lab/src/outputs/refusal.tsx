import React from 'react';

import { Actions } from '../actions';
import { checkedPanelLink } from '../panel_links';
import { SessionModel } from '../session_model';
import { SYSTEM } from '../session';
import { OutputFields, Prose } from './output_renderer';

export const REFUSAL_MIME = 'application/vnd.aizen.refusal+json';

/** A refused command: the verdict, the way out, and the buttons *Ask* and *Why*. */
export function RefusalView(props: { fields: OutputFields; model: SessionModel; actions: Actions }): JSX.Element {
  const { fields, model, actions } = props;
  const [role, line, project] = [fields.text('role'), fields.text('line'), fields.text('project')];
  const scope = fields.text('scope') || project;
  const why = checkedPanelLink(fields.text('why_url'), model.panel);
  const canAsk = role !== '' && fields.texts('who_can_grant').length > 0;
  const details = (
    [
      ['command', line],
      ['project', project],
      ['permission', fields.text('permission')],
      ['decision', fields.text('decision_id')]
    ] as const
  ).filter(([, value]) => value !== '');
  return (
    <div className="aizen-refusal">
      <div>
        <b>{fields.text('title') || 'Not executed'}</b>
        {fields.text('sentence') && ': '}
        <Prose text={fields.text('sentence')} />
      </div>
      {fields.text('way_out') && (
        <p>
          <Prose text={fields.text('way_out')} />
        </p>
      )}
      {fields.texts('faults').map(fault => (
        <div key={fault}>
          <Prose text={fault} />
        </div>
      ))}
      {(canAsk || why) && (
        <div className="aizen-buttons">
          {canAsk && (
            <button
              type="button"
              className="aizen-primary"
              onClick={() =>
                actions.requestAccess({ role, scope: scope || SYSTEM, reason: line ? `to run: ${line}` : '' })
              }
            >
              Ask for {role}…
            </button>
          )}
          {why && (
            <a href={why} target="_blank" rel="noopener noreferrer">
              Why?
            </a>
          )}
        </div>
      )}
      {details.length > 0 && (
        <details className="aizen-faint">
          <summary>Details</summary>
          {details.map(([label, value]) => (
            <div key={label}>
              {label} <code>{value}</code>
            </div>
          ))}
        </details>
      )}
    </div>
  );
}
