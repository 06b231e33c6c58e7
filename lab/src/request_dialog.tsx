import { Dialog, showDialog } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { IRequestedRole, IRoleDescription } from './service_client';
import { ISession, SYSTEM } from './session';

const HOUR = 3600;

/** How long access can be asked for: words and seconds. */
export const DURATIONS: readonly (readonly [string, number | null])[] = [
  ['1 hour', HOUR],
  ['4 hours', 4 * HOUR],
  ['1 day', 24 * HOUR],
  ['7 days', 7 * 24 * HOUR],
  ['30 days', 30 * 24 * HOUR],
  ['no end', null]
];
const USUAL_DURATION = 2;

interface IFields {
  role: string;
  scope: string;
  duration: number;
  reason: string;
}

/** The form; it changes `fields` as the user types. */
class RequestForm extends ReactWidget {
  constructor(
    readonly fields: IFields,
    private readonly roles: IRoleDescription[]
  ) {
    super();
    this.addClass('aizen-form');
  }

  getValue(): IFields {
    return this.fields;
  }

  protected render(): JSX.Element {
    return <RequestFields fields={this.fields} roles={this.roles} />;
  }
}

function RequestFields(props: { fields: IFields; roles: IRoleDescription[] }): JSX.Element {
  const { fields } = props;
  const [role, setRole] = React.useState(fields.role);
  const kind = (scope: string): string => (scope === SYSTEM ? 'system' : 'project');
  const [scope, setScope] = React.useState(fields.scope);
  const fitting = props.roles.filter(item => item.scopes.includes(kind(scope)));
  const names = new Set([...(role ? [role] : []), ...fitting.map(item => item.name)]);
  const description = props.roles.find(item => item.name === role)?.description;
  return (
    <>
      <label htmlFor="aizen-request-project">Project</label>
      <input
        id="aizen-request-project"
        defaultValue={scope}
        required
        autoComplete="off"
        onChange={event => {
          fields.scope = event.target.value.trim();
          setScope(fields.scope);
        }}
      />
      <label htmlFor="aizen-request-role">Role</label>
      <select
        id="aizen-request-role"
        value={role}
        required
        onChange={event => {
          fields.role = event.target.value;
          setRole(fields.role);
        }}
      >
        <option value="">Choose…</option>
        {[...names].map(name => (
          <option key={name}>{name}</option>
        ))}
      </select>
      {description && <div className="aizen-faint">{description}</div>}
      <label htmlFor="aizen-request-duration">For</label>
      <select
        id="aizen-request-duration"
        defaultValue={fields.duration}
        onChange={event => (fields.duration = Number(event.target.value))}
      >
        {DURATIONS.map(([words], index) => (
          <option key={words} value={index}>
            {words}
          </option>
        ))}
      </select>
      <label htmlFor="aizen-request-reason">Why you need it</label>
      <textarea
        id="aizen-request-reason"
        rows={3}
        maxLength={500}
        defaultValue={fields.reason}
        placeholder="Read by those who decide"
        onChange={event => (fields.reason = event.target.value)}
      />
      <div className="aizen-faint">Those who can give this role are told. You are told here when one of them decides.</div>
    </>
  );
}

/**
 * Lets the user complete and send a request; returns null if the dialog was closed.
 *
 * @param now the time of the service, from which the asked time counts
 */
export async function askForRequest(
  prefill: Partial<IRequestedRole>,
  session: ISession | null,
  roles: IRoleDescription[],
  now: () => Date
): Promise<IRequestedRole | null> {
  const form = new RequestForm(
    {
      role: prefill.role ?? '',
      scope: prefill.scope || session?.project || '',
      duration: USUAL_DURATION,
      reason: prefill.reason ?? ''
    },
    roles
  );
  const result = await showDialog({
    title: prefill.role ? `Ask for ${prefill.role}` : 'Ask for access',
    body: form,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Send the request' })]
  });
  if (!result.button.accept || result.value === null) {
    return null;
  }
  const { role, scope, duration, reason } = result.value;
  const seconds = DURATIONS[duration][1];
  const until = seconds === null ? undefined : new Date(now().getTime() + 1000 * seconds).toISOString();
  return { role, scope, reason, ...(until === undefined ? {} : { until }) };
}
