"""The Flask extensions, made once and bound to each application."""

from __future__ import annotations

from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from ingest_app.migrating import migrations_folder
from ingest_app.models import Base

db = SQLAlchemy(model_class=Base)
migrate = Migrate(db=db, directory=str(migrations_folder()), render_as_batch=True)
