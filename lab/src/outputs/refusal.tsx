import React from 'react';

import { Actions } from '../actions';
import { checkedPanelLink } from '../panel_links';
import { SessionModel } from '../session_model';
import { SYSTEM } from '../session';
import { OutputFields } from './output_renderer';

export const REFUSAL_MIME = 'application/vnd.aizen.refusal+json';

function listNames(names: string[]): JSX.Element {
  return (
    <>
      {names.map((name, index) => (
        <React.Fragment key={name}>
          {index > 0 && (index === names.length - 1 ? ' and ' : ', ')}
          <b>{name}</b>
        </React.Fragment>
      ))}
    </>
  );
}

/** A refused command: the verdict, who can help, and the buttons *Ask* and *Why*. */
export function RefusalView(props: { fields: OutputFields; model: SessionModel; actions: Actions }): JSX.Element {
  const { fields, model, actions } = props;
  const [role, line, project] = [fields.text('role'), fields.text('line'), fields.text('project')];
  const grantors = fields.texts('who_can_grant');
  const why = checkedPanelLink(fields.text('why_url'), model.panel);
  const canAsk = role !== '' && grantors.length > 0;
  return (
    <div className="aizen-refusal">
      <div>
        <b>{fields.text('title') || 'Not allowed'}.</b> {fields.text('sentence')}
      </div>
      {canAsk && (
        <p>
          A role that does: <span className="aizen-role">{role}</span>. {listNames(grantors)} can give it.
        </p>
      )}
      {!canAsk && fields.text('remedy') && <p>{fields.text('remedy')}</p>}
      <div className="aizen-buttons">
        {canAsk && (
          <button
            type="button"
            className="aizen-primary"
            onClick={() =>
              actions.requestAccess({
                role,
                scope: fields.text('scope') || project || SYSTEM,
                reason: line ? `to run: ${line}` : ''
              })
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
      <details className="aizen-faint">
        <summary>Details</summary>
        {line && (
          <div>
            command <code>{line}</code>
            {project && ` in ${project}`}
          </div>
        )}
        {fields.text('permission') && (
          <div>
            permission <code>{fields.text('permission')}</code>
          </div>
        )}
        {fields.text('decision_id') && (
          <div>
            decision <code>{fields.text('decision_id')}</code>
          </div>
        )}
      </details>
    </div>
  );
}
