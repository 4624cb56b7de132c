# SPDX-License-Identifier: Apache-2.0
"""The schema's history: a sqlalchemy-migrate repository.

``versions/NNN_what_it_does.py`` leads from version NNN - 1 to version NNN. A script
that was released is never changed. It

- defines the tables that it needs as they are at that point, and imports no models;
- asks the database before each step whether the step was done: where DDL cannot be
  rolled back, a script that was killed halfway runs again from its beginning;
- says in its docstring whether the code of the release before runs on its result.
"""
