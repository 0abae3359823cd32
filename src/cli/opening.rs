//! What every verb that measures begins with: its folder, its record, its workers and its session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{StudyArgs, read_study};
use super::examination::identity;
use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, make_sure_are_new, write_whole};
use super::hub::Need;
use super::plan::{Asked, Prepared};
use super::signals::Interrupts;
use super::{host, output, pricing, reports};
use crate::catalog::{self, Catalog};
use crate::clock::Monotonic;
use crate::engine::worker::{Processes, Unescorted, WorkerCommand};
use crate::record::machine::Device;
use crate::record::observation::{Moment, Record, Session};
use crate::record::schema;
use crate::record::store::{self, Resumed, StoreError, Writer, check_device, check_session};
use crate::study::file::StudyFile;
use crate::study::model::ModelSource;
use crate::units::Seconds;

/// Path of this executable, which is also the worker.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// Where runs are kept that were given no folder.
const RUNS: &str = "mtok-runs";

/// The folder of a study: the one that was asked for, else the last one of today to go on with, or a new
/// one.
fn folder(args: &StudyArgs, source: &ModelSource) -> Result<StudyFolder, CliError> {
    if let Some(path) = &args.out {
        return Ok(StudyFolder::new(path.clone()));
    }
    let (runs, today) = (Path::new(RUNS), host::today());
    if !args.resume {
        return Ok(StudyFolder::next_in(runs, source, today));
    }
    StudyFolder::last_in(runs, source, today).ok_or_else(|| {
        let error =
            anyhow::anyhow!("--resume without --out: {RUNS} holds no run of {source} of today");
        CliError::new(Exit::Usage, error).hint("name the folder of the run with --out DIR")
    })
}

/// Refuses a folder that another run writes, before anything else is looked at.
pub(super) fn make_sure_of_lock(args: &StudyArgs) -> Result<(), CliError> {
    let Some(path) = &args.out else {
        return Ok(());
    };
    let record = StudyFolder::new(path.clone()).record();
    if !record.exists() {
        return Ok(());
    }
    match Writer::create(&record) {
        Err(locked @ StoreError::Locked { .. }) => Err(locked.into()),
        // Whether it may be written is asked when it is known what for.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A study that is about to be worked on.
pub(super) struct Opening {
    /// Where.
    pub(super) folder: StudyFolder,
    /// The study and its model, with all its files here.
    pub(super) prepared: Prepared,
    /// What the folder holds of the run that is gone on with. A folder that is refused is so only after what is
    /// wrong with model and device.
    pub(super) held: Result<Option<Resumed>, CliError>,
}

impl Opening {
    /// Looks at the folder of a study and at its model.
    pub(super) fn of(args: &StudyArgs, asked: Asked) -> Result<Self, CliError> {
        pricing::look_up(&asked.study.price, None, &Catalog::bundled())?;
        let folder = folder(args, &asked.study.source)?;
        let held = held(&folder, args.resume);
        let (held, need) = match (held, &asked.study.source) {
            (Err(newer), _) if newer.exit == Exit::Input => return Err(newer),
            // Nothing is fetched for a folder that has no room.
            (Err(refused), ModelSource::Hub(_)) => return Err(refused),
            (
                held @ Err(_),
                ModelSource::Tiny
                | ModelSource::Dir(_)
                | ModelSource::Gguf(_)
                | ModelSource::Card(_),
            ) => (held, Need::Outline),
            (held @ Ok(_), _) => (held, Need::Files),
        };
        Ok(Self {
            folder,
            prepared: asked.prepare(need)?,
            held,
        })
    }

    /// Who measures what. What an earlier session measured otherwise is not gone on with; its price holds on
    /// unless another one is asked for.
    pub(super) fn session(&self) -> Result<Session, CliError> {
        let mut session = session(&self.prepared)?;
        if let Ok(Some(resumed)) = &self.held
            && let (Some(before), _) = identity(&resumed.records)
        {
            check_session(before, &session)
                .map_err(|difference| CliError::new(Exit::Input, difference))?;
            let price = before.study.price.clone();
            session.study.price = price.asked_anew(session.study.price);
        }
        Ok(session)
    }
}

/// What a folder holds of the run that is gone on with. One that cannot be written is refused, and one that
/// holds a run or somebody else's reports.
fn held(folder: &StudyFolder, resume: bool) -> Result<Option<Resumed>, CliError> {
    if folder.record().exists() {
        if resume {
            return to_go_on_with(folder).map(Some);
        }
        Writer::create(&folder.record())?;
    } else {
        make_sure_are_new(folder, &reports::NAMES)?;
    }
    let ancestors = folder.root().ancestors();
    let missing: Vec<&Path> = ancestors
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    folder.create()?;
    // A model that is refused leaves nothing behind.
    for path in missing {
        std::fs::remove_dir(path).map_err(|error| CliError::storage(path, error))?;
    }
    Ok(None)
}

/// What a run that cannot begin would leave behind.
pub(super) struct Traces {
    folder: bool,
    record: bool,
    study: bool,
}

impl Traces {
    /// What is missing now and would be a trace of this run.
    pub(super) fn before(folder: &StudyFolder) -> Self {
        Self {
            folder: !folder.root().exists(),
            record: !folder.record().exists(),
            study: !folder.study().exists(),
        }
    }

    /// Removes it, so that no folder looks like a run that measured nothing. What cannot be removed is no
    /// reason to tell less of why the run did not begin.
    pub(super) fn remove(&self, folder: &StudyFolder) {
        if self.record {
            let _ = std::fs::remove_file(folder.record());
        }
        if self.study {
            let _ = std::fs::remove_file(folder.study());
        }
        if self.folder {
            let _ = std::fs::remove_dir(folder.root());
        }
    }
}

/// The file of facts and what it holds already.
pub(super) fn open(
    folder: &StudyFolder,
    resumed: Option<Resumed>,
) -> Result<(Writer, Vec<Record>), CliError> {
    if let Some(Resumed { writer, records }) = resumed {
        return Ok((writer, records));
    }
    folder.create()?;
    Ok((Writer::create(&folder.record())?, Vec::new()))
}

/// A record that was begun. One that was altered is refused: nothing would be told from it.
fn to_go_on_with(folder: &StudyFolder) -> Result<Resumed, CliError> {
    let file = folder.record();
    let resumed = Writer::resume(&file)?;
    let Some(wrong) = store::verify(&file)?.findings.into_iter().next() else {
        return Ok(resumed);
    };
    let error = anyhow::anyhow!("{}:{}: {}", file.display(), wrong.line, wrong.problem);
    Err(CliError::new(Exit::NotValid, error)
        .hint("measure into another folder: nothing is told from such a record"))
}

/// Keeps what was asked beside what is seen. A study that lies there already stays; if it asks for something
/// else, that is said.
pub(super) fn write_study(folder: &StudyFolder, prepared: &Prepared) -> Result<(), CliError> {
    let path = folder.study();
    if path.exists() {
        if !asks_for(&path, &prepared.written) {
            output::say(&format!(
                "{}: asks for something else than what is measured now; the record holds what that is",
                path.display()
            ));
        }
        return Ok(());
    }
    if prepared.written == StudyFile::default() {
        return write_whole(&path, "# everything by default; see `mtok schema study`\n");
    }
    let text =
        toml::to_string(&prepared.written).map_err(|error| CliError::new(Exit::Failure, error))?;
    write_whole(&path, &text)
}

/// Whether a file asks for this study.
fn asks_for(path: &Path, written: &StudyFile) -> bool {
    read_study(path).is_ok_and(|found| found == *written)
}

pub(super) fn processes(args: &StudyArgs, interrupts: &Interrupts) -> Processes {
    Processes {
        command: WorkerCommand::new(THIS_EXECUTABLE, ["worker"], std::env::vars_os()),
        no_progress_timeout: Seconds::new(args.no_progress_timeout),
        clock: Arc::new(Monotonic),
        interrupt: Arc::clone(&interrupts.count),
        escort: Arc::new(Unescorted),
    }
}

/// Records who measures what on which device, unless an earlier session measured on another one; `more` goes
/// with it.
pub(super) fn begin(
    writer: &mut Writer,
    (session, before): (Session, &[Record]),
    device: &Device,
    more: impl Iterator<Item = Record>,
) -> Result<(), CliError> {
    if let (_, Some(device_before)) = identity(before) {
        check_device(device_before, device)
            .map_err(|difference| CliError::new(Exit::Input, difference))?;
    }
    let head = [
        Record::Session(Box::new(session)),
        Record::Device(Box::new(device.clone())),
    ];
    writer.append_all(&head.into_iter().chain(more).collect::<Vec<_>>())?;
    Ok(())
}

/// Who measures what, and when it began.
fn session(prepared: &Prepared) -> Result<Session, CliError> {
    Ok(Session {
        schema: schema::VERSION,
        started: Moment::now(&Monotonic),
        run_date: host::today(),
        harness: host::harness(&PathBuf::from(THIS_EXECUTABLE))?,
        engine: prepared.study.engine.clone(),
        model: prepared.model.clone(),
        study: prepared.study.clone(),
        prompts: prepared.prompts(),
        catalog_sha256: catalog::sha256(),
        host: host::host(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_tried_leaves_nothing_behind() {
        let runs = tempfile::tempdir().unwrap();
        let folder = StudyFolder::new(runs.path().join("a/b"));
        held(&folder, false).unwrap();
        assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0);
        folder.create().unwrap();
        held(&folder, false).unwrap();
        assert!(folder.root().exists());
    }

    #[test]
    fn reports_without_a_record_beside_them_are_somebody_elses() {
        let root = tempfile::tempdir().unwrap();
        let folder = StudyFolder::new(root.path().to_owned());
        for name in reports::NAMES {
            let report = folder.generated(name);
            std::fs::write(&report, "a thesis").unwrap();
            for resume in [false, true] {
                let refused = held(&folder, resume).unwrap_err();
                assert_eq!(refused.exit, Exit::Storage);
                let told = output::with_causes(&refused.error);
                assert!(told.contains(name), "{told}");
                assert!(
                    refused
                        .hint
                        .is_some_and(|hint| hint.contains("another --out"))
                );
            }
            // Beside a record they are what follows from it.
            std::fs::write(folder.record(), "a run").unwrap();
            assert!(held(&folder, true).unwrap().is_some());
            std::fs::remove_file(folder.record()).unwrap();
            std::fs::remove_file(&report).unwrap();
        }
        held(&folder, false).unwrap();
    }

    #[test]
    fn a_study_that_lies_there_is_compared_with_what_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        let mut written = StudyFile::default();
        std::fs::write(&path, "# everything by default\n").unwrap();
        assert!(asks_for(&path, &written));
        written.measure.seed = Some(7);
        assert!(!asks_for(&path, &written));
        std::fs::write(&path, toml::to_string(&written).unwrap()).unwrap();
        assert!(asks_for(&path, &written));
    }
}
