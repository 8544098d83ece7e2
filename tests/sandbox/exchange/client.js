// A mail program's day with ews-javascript-api: argv are the service's URL, login, password; prints what it saw as JSON.
const ews = require('ews-javascript-api');
const [url, user, password] = process.argv.slice(2);

async function main() {
  const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013);
  service.Credentials = new ews.WebCredentials(user, password);
  service.Url = new ews.Uri(url);
  const seen = {};

  const folders = await service.FindFolders(ews.WellKnownFolderName.MsgFolderRoot, new ews.FolderView(100));
  seen.folders = folders.Folders.map((folder) => folder.DisplayName);

  const inbox = [new ews.FolderId(ews.WellKnownFolderName.Calendar)];
  const subscription = await service.SubscribeToPullNotifications(inbox, 10, null, ews.EventType.Created, ews.EventType.Deleted);

  const appointment = new ews.Appointment(service);
  appointment.Subject = 'From JavaScript';
  appointment.Body = new ews.MessageBody(ews.BodyType.Text, 'Hello');
  appointment.Start = new ews.DateTime('2026-11-23T09:00:00Z');
  appointment.End = new ews.DateTime('2026-11-23T10:00:00Z');
  appointment.Location = 'Room 4';
  appointment.Categories.Add('Red');
  await appointment.Save(ews.WellKnownFolderName.Calendar, ews.SendInvitationsMode.SendToNone);

  const bound = await ews.Appointment.Bind(service, appointment.Id);
  seen.bound = [bound.Subject, bound.Location, bound.Start.ToISOString(), bound.Body.Text];
  bound.Subject = 'Changed';
  await bound.Update(ews.ConflictResolutionMode.NeverOverwrite, ews.SendInvitationsOrCancellationsMode.SendToNone);

  const series = new ews.Appointment(service);
  series.Subject = 'Weekly';
  series.Start = new ews.DateTime('2026-11-24T09:00:00Z');
  series.End = new ews.DateTime('2026-11-24T10:00:00Z');
  series.Recurrence = new ews.Recurrence.DailyPattern(series.Start, 2);
  series.Recurrence.NumberOfOccurrences = 3;
  await series.Save(ews.WellKnownFolderName.Calendar, ews.SendInvitationsMode.SendToNone);

  const days = new ews.CalendarView(new ews.DateTime('2026-11-22T00:00:00Z'), new ews.DateTime('2026-12-05T00:00:00Z'));
  const found = await service.FindAppointments(ews.WellKnownFolderName.Calendar, days);
  seen.view = found.Items.map((item) => `${item.Subject} ${item.Start.ToISOString().slice(5, 10)}`);

  const contact = new ews.Contact(service);
  contact.GivenName = 'Ada';
  contact.Surname = 'Berg';
  contact.CompanyName = 'ACME';
  await contact.Save();
  const contacts = await service.FindItems(ews.WellKnownFolderName.Contacts, new ews.ItemView(10));
  seen.contacts = contacts.Items.map((item) => item.DisplayName);

  const message = new ews.EmailMessage(service);
  message.Subject = 'Mail';
  message.Body = new ews.MessageBody(ews.BodyType.HTML, 'text');
  message.ToRecipients.Add('ben@example.com');
  await message.SendAndSaveCopy();

  const folder = new ews.FolderId(ews.WellKnownFolderName.Calendar);
  const changes = await service.SyncFolderItems(
    folder, ews.PropertySet.IdOnly, [], 512, ews.SyncFolderItemsScope.NormalItems, null);
  seen.changes = changes.changes.length;

  await bound.Delete(ews.DeleteMode.HardDelete);
  const events = await subscription.GetEvents();
  seen.events = events.AllEvents.map((event) => ews.EventType[event.EventType]);

  service.ImpersonatedUserId = new ews.ImpersonatedUserId(ews.ConnectingIdType.SmtpAddress, 'ben@example.com');
  try {
    await service.FindItems(ews.WellKnownFolderName.Inbox, new ews.ItemView(1));
    seen.impersonation = 'allowed';
  } catch (error) {
    seen.impersonation = String(error.Message || error.message);
  }
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error.Message || error.message, error.stack);
  process.exit(1);
});
